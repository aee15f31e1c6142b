//! Every system call of x86-64 and AArch64 in one group, with what the group is for. Profiles name groups as `@name`;
//! the default policy gives each group its answer.

/// A group of system calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Category {
    /// Its name, with the `@`.
    pub name: &'static str,
    /// What the calls do, or why they are kept apart.
    pub about: &'static str,
    /// The calls, by name, of all architectures.
    pub calls: &'static [&'static str],
}

/// The group of a name such as `@process`.
pub fn category(name: &str) -> Option<&'static Category> {
    CATEGORIES.iter().find(|category| category.name == name)
}

const fn group(name: &'static str, about: &'static str, calls: &'static [&'static str]) -> Category {
    Category { name, about, calls }
}

/// Every group. No call is in two.
#[rustfmt::skip]
pub const CATEGORIES: &[Category] = &[
    group("@descriptors", "read, write and wait on what is open", &[
        "close", "close_range", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
        "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "fcntl", "flock", "inotify_add_watch", "inotify_init",
        "inotify_init1", "inotify_rm_watch", "lseek", "pipe", "pipe2", "poll", "ppoll", "pread64", "preadv", "preadv2",
        "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readv", "select", "sendfile", "signalfd", "signalfd4",
        "splice", "tee", "vmsplice", "write", "writev",
    ]),
    group("@files", "open, inspect and change files: mounts and Landlock say which", &[
        "access", "cachestat", "chdir", "chmod", "chown", "copy_file_range", "creat", "faccessat", "faccessat2",
        "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fdatasync",
        "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
        "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "getxattrat", "lchown", "lgetxattr",
        "link", "linkat", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "lstat",
        "mkdir", "mkdirat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2", "readahead", "readlink",
        "readlinkat", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "setxattr", "setxattrat",
        "stat", "statfs", "statmount", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "truncate",
        "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes",
    ]),
    group("@nodes", "make files of any type, devices among them", &["mknod", "mknodat"]),
    group("@chroot", "needs CAP_SYS_CHROOT of the own user namespace; package tools and test suites use it", &["chroot"]),
    group("@memory", "map, protect, lock and advise on the own memory", &[
        "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall", "mmap",
        "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
        "pkey_mprotect", "remap_file_pages",
    ]),
    group("@process", "start, name, wait for and end processes and threads", &[
        "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait",
        "futex_waitv", "futex_wake", "getcpu", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom",
        "getrlimit", "getrusage", "getsid", "get_robust_list", "get_thread_area", "gettid", "ioprio_get", "kill",
        "pause", "pidfd_open", "pidfd_send_signal", "prlimit64", "process_mrelease", "restart_syscall", "rseq",
        "rseq_slice_yield", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
        "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
        "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
        "sched_setaffinity", "sched_setparam", "sched_yield", "set_robust_list", "set_thread_area", "set_tid_address",
        "setpgid", "setpriority", "setrlimit", "setsid", "sigaltstack", "sysinfo", "tgkill", "times", "tkill", "uname",
        "vfork", "wait4", "waitid",
    ]),
    group("@probes", "made by the kernel's own trampolines where the host traces a binary; elsewhere they kill the caller", &[
        "uprobe", "uretprobe",
    ]),
    group("@identity", "user and group ids and capabilities, all within the user namespace", &[
        "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
        "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
    ]),
    group("@time", "clocks and timers, read or used", &[
        "adjtimex", "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep",
        "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
        "timerfd_create", "timerfd_gettime", "timerfd_settime",
    ]),
    group("@sockets", "use a socket: which there are is decided when one is made", &[
        "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",
        "recvmsg", "sendmmsg", "sendmsg", "sendto", "shutdown",
    ]),
    group("@ipc", "System V and POSIX message queues, semaphores and shared memory of the own namespace", &[
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
        "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
    ]),
    group("@aio", "the older asynchronous I/O: databases and nginx use it", &[
        "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
    ]),
    group("@debug", "one process into another, within the pid namespace: gdb, strace, delve", &[
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    group("@sandbox", "a process giving up more: Chromium, OpenSSH and sandboxes inside ours", &[
        "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lsm_get_self_attr", "lsm_list_modules",
        "seccomp",
    ]),
    group("@clone", "processes with flags in a register: new namespaces are not for the inside (CVE-2022-0185)", &["clone"]),
    group("@clone3", "flags behind a pointer, where no filter sees them; C libraries fall back to clone", &["clone3"]),
    group("@unshare", "new namespaces, flags in a register", &["unshare"]),
    group("@setns", "into other namespaces", &["setns"]),
    group("@socket", "which kinds of socket there are", &["socket", "socketpair"]),
    group("@sockopt", "options of sockets", &["setsockopt"]),
    group("@ioctl", "driver calls, by command", &["ioctl"]),
    group("@prctl", "a process's own settings, by operation", &["prctl"]),
    group("@personality", "execution domains: some switch off defences", &["personality"]),
    group("@schedule", "scheduling classes", &["ioprio_set", "sched_setscheduler"]),
    group("@schedule-pointer", "scheduling classes behind a pointer; callers fall back", &["sched_setattr"]),
    group("@mount", "the mount table: the runtime has arranged it", &[
        "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
        "pivot_root", "umount2",
    ]),
    group("@handles", "files by handle, past every path check (the shocker exploit)", &["open_by_handle_at"]),
    group("@keyring", "kernel keys belong to a user id, not to a container (CVE-2016-0728)", &[
        "add_key", "keyctl", "request_key",
    ]),
    group("@bpf", "programs in the kernel (CVE-2020-8835, CVE-2021-3490)", &["bpf"]),
    group("@perf", "hardware counters and tracing", &["perf_event_open"]),
    group("@userfault", "page faults held open, which make kernel races winnable, and brokers hang", &["userfaultfd"]),
    group("@watch-all", "file system wide notification and permission events", &["fanotify_init", "fanotify_mark"]),
    group("@modules", "kernel modules", &["delete_module", "finit_module", "init_module"]),
    group("@kexec", "another kernel", &["kexec_file_load", "kexec_load"]),
    group("@reboot", "the machine's power, and ctrl-alt-del", &["reboot"]),
    group("@swap", "swap space", &["swapoff", "swapon"]),
    group("@quota", "quotas and accounting", &["acct", "quotactl", "quotactl_fd"]),
    group("@clock", "setting the machine's clocks", &["clock_adjtime", "clock_settime", "settimeofday"]),
    group("@names", "host and domain name: the runtime has set them", &["setdomainname", "sethostname"]),
    group("@kernel-log", "the kernel's messages", &["syslog"]),
    group("@terminal", "hang up a terminal under its user", &["vhangup"]),
    group("@ports", "I/O ports", &["ioperm", "iopl"]),
    group("@lsm", "the own security label: the runtime has set it", &["lsm_set_self_attr"]),
    group("@io-uring", "does other calls where no filter sees them (CVE-2022-29582, CVE-2023-2598)", &[
        "io_uring_enter", "io_uring_register", "io_uring_setup",
    ]),
    group("@numa", "placement of memory, as on a kernel without NUMA", &[
        "get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
    ]),
    group("@rare", "little used kernel code: segments of x86, hidden memory, the list of all namespaces", &[
        "listns", "memfd_secret", "modify_ldt",
    ]),
    group("@obsolete", "gone from the kernel, or kept for programs of another century", &[
        "_sysctl", "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "getpmsg",
        "lookup_dcookie", "nfsservctl", "putpmsg", "query_module", "security", "sysfs", "tuxcall", "uselib", "ustat",
        "vserver",
    ]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Arch, name_of, number_of};

    #[test]
    fn every_call_of_both_architectures_is_in_one_group() {
        let mut grouped = BTreeSet::new();
        for call in CATEGORIES.iter().flat_map(|category| category.calls) {
            assert!(grouped.insert(call.to_string()), "{call} is in two groups");
            let known = [Arch::X86_64, Arch::Aarch64].iter().any(|arch| number_of(call, *arch).is_some());
            assert!(known, "{call} is not a call");
        }
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let missing: Vec<String> =
                (0..600).filter_map(|number| name_of(number, arch)).filter(|name| !grouped.contains(name)).collect();
            assert!(missing.is_empty(), "{arch}: {missing:?}");
        }
    }

    #[test]
    fn groups_are_found_by_name() {
        assert_eq!(category("@swap").map(|category| category.calls), Some(&["swapoff", "swapon"][..]));
        assert_eq!(category("swap"), None);
        assert!(CATEGORIES.iter().all(|category| category.name.starts_with('@') && !category.about.is_empty()));
    }
}
