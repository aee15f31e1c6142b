/* What single calls cost, for calls.py.
 *
 *   calls measure CALL ARGUMENT      prints the tenth percentile of many batches, in nanoseconds a call
 *   calls supervise CALL ARGUMENT    the same, where a minimal supervisor answers each call
 *
 * CALL is getppid, sysinfo, or open or create (and close, of the file ARGUMENT). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 400, CALLS = 50 };

static const char *argument;
static struct sysinfo answer;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void call_getppid(void) { syscall(SYS_getppid); }

static void call_sysinfo(void) {
    if (syscall(SYS_sysinfo, &answer)) die("sysinfo");
}

static void call_open(void) {
    int fd = syscall(SYS_openat, AT_FDCWD, argument, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die(argument);
    close(fd);
}

static void call_create(void) {
    int fd = syscall(SYS_openat, AT_FDCWD, argument, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) die(argument);
    close(fd);
}

static const struct {
    const char *name;
    void (*make)(void);
    int number;
} calls[] = {
    {"getppid", call_getppid, SYS_getppid},
    {"sysinfo", call_sysinfo, SYS_sysinfo},
    {"open", call_open, SYS_openat},
    {"create", call_create, SYS_openat},
};

static int find(const char *name) {
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, name)) return i;
    fprintf(stderr, "calls: no call %s\n", name);
    exit(2);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(int which) {
    static double took[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        uint64_t begin = now();
        for (int j = 0; j < CALLS; j++) calls[which].make();
        took[i] = (double)(now() - begin) / CALLS;
    }
    qsort(took, BATCHES, sizeof *took, ascending);
    printf("%.0f\n", took[BATCHES / 10]);
}

/* The listener of a filter that asks about one call. */
static int filtered(int number) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {4, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
    int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
    if (fd < 0) die("seccomp");
    return fd;
}

static void answer_sysinfo(int listener, struct seccomp_notif *asked) {
    struct seccomp_notif_resp response = {.id = asked->id};
    struct sysinfo told;
    sysinfo(&told);
    struct iovec from = {&told, sizeof told}, to = {(void *)asked->data.args[0], sizeof told};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &asked->id)) return;
    if (process_vm_writev(asked->pid, &from, 1, &to, 1, 0) < 0) response.error = -errno;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void answer_open(int listener, struct seccomp_notif *asked) {
    struct seccomp_notif_resp response = {.id = asked->id, .error = -EFAULT};
    char path[4096];
    size_t room = 4096 - (asked->data.args[1] & 4095);
    struct iovec to = {path, room}, from = {(void *)asked->data.args[1], room};
    if (process_vm_readv(asked->pid, &to, 1, &from, 1, 0) > 0 && memchr(path, 0, room)) {
        struct open_how how = {.flags = (unsigned)asked->data.args[2], .resolve = RESOLVE_NO_MAGICLINKS};
        if (how.flags & O_CREAT) how.mode = asked->data.args[3];
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &asked->id)) return;
        int fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
        response.error = -errno;
        if (fd >= 0) {
            struct seccomp_notif_addfd add = {
                .id = asked->id, .srcfd = fd, .newfd_flags = O_CLOEXEC, .flags = SECCOMP_ADDFD_FLAG_SEND};
            ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
            close(fd);
            return;
        }
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void child_ended(int signal) {
    (void)signal;
    _exit(0);
}

static void supervise(int which) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) die("socketpair");
    pid_t child = fork();
    if (child == 0) {
        int listener = filtered(calls[which].number);
        /* Both have the same table of descriptors by number until here; the parent takes the listener by its own. */
        if (write(pair[1], &listener, sizeof listener) < 0) die("write");
        char go;
        if (read(pair[1], &go, 1) != 1) die("read");
        close(listener);
        measure(which);
        fflush(stdout);
        _exit(0);
    }
    int number;
    if (read(pair[0], &number, sizeof number) != sizeof number) die("read");
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    int listener = syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (listener < 0) die("pidfd_getfd");
    if (write(pair[0], "", 1) != 1) die("write");
    for (;;) {
        struct seccomp_notif asked;
        memset(&asked, 0, sizeof asked);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
            if (errno == EINTR || errno == ENOENT) continue;
            return;
        }
        if (asked.data.nr == SYS_sysinfo) answer_sysinfo(listener, &asked);
        else answer_open(listener, &asked);
    }
}

int main(int count, char **args) {
    if (count != 4) {
        fprintf(stderr, "usage: calls measure|supervise CALL ARGUMENT\n");
        return 2;
    }
    argument = args[3];
    if (!strcmp(args[1], "supervise")) {
        signal(SIGCHLD, child_ended);
        supervise(find(args[2]));
    } else {
        measure(find(args[2]));
    }
    return 0;
}
