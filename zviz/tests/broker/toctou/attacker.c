// Calls mount(2), umount2(2) and mknodat(2) while what the calls point to changes, and counts what should never have been
// mounted. `attacker SECONDS FOLDER` under a supervisor; `attacker SECONDS FOLDER unsafe` brings its own, which looks
// and then lets the kernel do the call: the control.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TMPFS 0x01021994
// What tmpfs_bytes of the profile is.
#define CAP (512ull << 20)

// What the processes count together.
struct counts {
    atomic_ulong mounted, forbidden, refused, faults, nodes, wrong_nodes, ended, signals;
    atomic_int stop;
};
static struct counts *all;
static const char *folder;

static void on_signal(int signal) { (void)signal; atomic_fetch_add(&all->signals, 1); }

// A thousand signals a second, to whichever thread takes them.
static void be_interrupted(void) {
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
    setitimer(ITIMER_REAL, &often, NULL);
}

// The arguments that change: both halves of a pair are as long.
struct words { char fstype[16], options[32]; };
static const char *FSTYPES[] = { "tmpfs", "ramfs" };
static const char *OPTIONS[] = { "size=000004k", "size=999999g" };

static void *flip(void *of) {
    volatile struct words *words = of;
    for (unsigned i = 0; !atomic_load(&all->stop); i++) {
        for (int at = 0; at < 5; at++) words->fstype[at] = FSTYPES[i & 1][at];
        for (int at = 0; at < 12; at++) words->options[at] = OPTIONS[(i >> 1) & 1][at];
        for (volatile int pause = 0; pause < (int)(i % 61); pause++) {}
    }
    return NULL;
}

// Looks at what has been mounted, and takes it away.
static void judge(const char *target) {
    struct statfs found;
    if (statfs(target, &found) == 0) {
        unsigned long long bytes = (unsigned long long)found.f_blocks * found.f_bsize;
        int right = found.f_type == TMPFS && bytes <= CAP && found.f_blocks;
        if (!right) atomic_fetch_add(&all->forbidden, 1);
    }
    atomic_fetch_add(&all->mounted, 1);
    while (umount2(target, MNT_DETACH) && errno == EINTR) {}
}

struct mounter { struct words *words; char target[256]; };

static void *mount_again(void *of) {
    struct mounter *own = of;
    while (!atomic_load(&all->stop)) {
        if (mount("none", own->target, own->words->fstype, 0, own->words->options) == 0) judge(own->target);
        else atomic_fetch_add(errno == EFAULT ? &all->faults : &all->refused, 1);
    }
    return NULL;
}

// Two threads write what two others call with.
static void flips(void) {
    be_interrupted();
    struct words *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(words->fstype, FSTYPES[0]);
    strcpy(words->options, OPTIONS[0]);
    struct mounter mounters[2];
    pthread_t threads[3];
    for (int i = 0; i < 2; i++) {
        mounters[i].words = words;
        snprintf(mounters[i].target, sizeof mounters[i].target, "%s/flips-%d-%d", folder, getpid(), i);
        mkdir(mounters[i].target, 0700);
        pthread_create(&threads[i], NULL, mount_again, &mounters[i]);
    }
    pthread_create(&threads[2], NULL, flip, words);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void *unmap_again(void *page) {
    while (!atomic_load(&all->stop)) {
        mmap(page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        struct words *words = mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        strcpy(words->fstype, FSTYPES[0]);
        strcpy(words->options, OPTIONS[0]);
    }
    return NULL;
}

// The page of the arguments comes and goes.
static void unmaps(void) {
    be_interrupted();
    struct mounter mounter = { mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "" };
    snprintf(mounter.target, sizeof mounter.target, "%s/unmaps-%d", folder, getpid());
    mkdir(mounter.target, 0700);
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, unmap_again, mounter.words);
    pthread_create(&threads[1], NULL, mount_again, &mounter);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static int directories[2], shared;

static void *dup_again(void *unused) {
    for (unsigned i = 0; !atomic_load(&all->stop); i++) dup2(directories[i & 1], shared);
    return unused;
}

// A directory's number is given to another directory; the second one must not be written.
static void dups(void) {
    char place[256];
    snprintf(place, sizeof place, "%s/dups-%d", folder, getpid());
    mkdir(place, 0700);
    directories[0] = open(place, O_RDONLY | O_DIRECTORY);
    directories[1] = open("/usr", O_RDONLY | O_DIRECTORY);
    shared = dup(directories[0]);
    be_interrupted();
    pthread_t thread;
    pthread_create(&thread, NULL, dup_again, NULL);
    char made[300];
    snprintf(made, sizeof made, "%s/zviz-race-node", place);
    while (!atomic_load(&all->stop)) {
        if (mknodat(shared, "zviz-race-node", S_IFCHR | 0600, makedev(1, 3)) == 0) {
            struct stat found;
            int right = stat(made, &found) == 0 && S_ISCHR(found.st_mode) && found.st_rdev == makedev(1, 3);
            atomic_fetch_add(right ? &all->nodes : &all->wrong_nodes, 1);
            umount2(made, MNT_DETACH);
            unlink(made);
        } else {
            atomic_fetch_add(&all->refused, 1);
        }
        if (access("/usr/zviz-race-node", F_OK) == 0) atomic_fetch_add(&all->wrong_nodes, 1);
    }
    pthread_join(thread, NULL);
}

static void *leave(void *how) {
    unsigned seed = getpid();
    for (volatile int wait = rand_r(&seed) % 200000; wait; wait--) {}
    if (how) execl("/bin/true", "true", NULL);
    _exit(0);
}

// The caller executes another program, or exits, in the middle of its call. What was mounted then is seen by nobody but
// its process's own mount namespace.
static void leaves(void) {
    for (unsigned i = 0; !atomic_load(&all->stop); i++) {
        pid_t child = fork();
        if (child == 0) {
            struct words words = { "tmpfs", "size=000004k" };
            unshare(CLONE_NEWNS);
            pthread_t threads[2];
            pthread_create(&threads[0], NULL, leave, (void *)(long)(i & 1));
            pthread_create(&threads[1], NULL, flip, &words);
            for (;;) {
                if (mount("none", folder, words.fstype, 0, words.options) == 0) judge(folder);
            }
        }
        waitpid(child, NULL, 0);
        atomic_fetch_add(&all->ended, 1);
    }
}

// ---- the control: reads, decides, and lets the kernel read again ----

static int listen_to_mounts(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mount, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static int looks_right(int pid, unsigned long long fstype, unsigned long long options) {
    char text[2][32] = { "", "" };
    struct iovec local[] = { { text[0], 16 }, { text[1], 31 } };
    struct iovec remote[] = { { (void *)fstype, 16 }, { (void *)options, 31 } };
    if (process_vm_readv(pid, local, 2, remote, 2, 0) < 0) return 0;
    return strncmp(text[0], "tmpfs", 5) == 0 && strncmp(text[1], OPTIONS[0], 12) == 0;
}

static void supervise_unsafely(int listener) {
    for (;;) {
        struct seccomp_notif call = { 0 };
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) continue;
        int right = looks_right((int)call.pid, call.data.args[2], call.data.args[4]);
        struct seccomp_notif_resp answer = { .id = call.id, .error = right ? 0 : -EPERM };
        answer.flags = right ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

int main(int count, char **words) {
    if (count < 3) return 2;
    folder = words[2];
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int unsafely = count > 3;
    pid_t supervisor = 0;
    if (unsafely) {
        // Before there are threads; the supervisor is in nobody's filter.
        int pair[2];
        (void)!pipe(pair);
        pid_t main = getpid();
        supervisor = fork();
        if (supervisor == 0) {
            int number;
            (void)!read(pair[0], &number, sizeof number);
            int pidfd = syscall(SYS_pidfd_open, main, 0);
            supervise_unsafely(syscall(SYS_pidfd_getfd, pidfd, number, 0));
        }
        int listener = listen_to_mounts();
        if (listener < 0) return perror("listener"), 2;
        (void)!write(pair[1], &listener, sizeof listener);
    }
    mkdir(folder, 0700);
    void (*workers[])(void) = { flips, unmaps, dups, leaves };
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) { if (!unsafely || i != 2) workers[i](); _exit(0); }
    }
    struct timespec end = { atoi(words[1]), 0 };
    while (nanosleep(&end, &end) && errno == EINTR) {}
    atomic_store(&all->stop, 1);
    for (int i = 0; i < 4; i++) waitpid(children[i], NULL, 0);
    if (supervisor) kill(supervisor, SIGKILL);
    printf("{\"mounted\":%lu,\"forbidden\":%lu,\"refused\":%lu,\"faults\":%lu,\"nodes\":%lu,\"wrong_nodes\":%lu,"
           "\"ended\":%lu,\"signals\":%lu}\n", all->mounted, all->forbidden, all->refused, all->faults, all->nodes,
           all->wrong_nodes, all->ended, all->signals);
    return 0;
}
