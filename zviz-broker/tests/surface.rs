//! The system calls that the broker's own processes have.

use zviz_broker::confine::{ALONE, EYES, EYES_IOCTLS, HANDS, LOADER, LOADER_COMMANDS};

#[test]
fn a_short_list_is_all_they_have() {
    println!("eyes, {} calls: {}", EYES.len(), EYES.join(" "));
    println!("eyes, {} operations of ioctl: {EYES_IOCTLS:x?}", EYES_IOCTLS.len());
    println!("hands, {} calls: {}", HANDS.len(), HANDS.join(" "));
    println!("loader, {} calls: {}", LOADER.len(), LOADER.join(" "));
    println!("a hand alone, {} calls: {}", ALONE.len(), ALONE.join(" "));
    for list in [ALONE, EYES, HANDS, LOADER] {
        assert!(list.iter().all(|name| zviz_seccomp::number_of(name, zviz_seccomp::Arch::X86_64).is_some()));
        // Nothing else is run, nobody is traced, nothing is loaded into the kernel; mmap and mprotect are in neither, since
        // they are allowed by what they ask for.
        for name in [
            "execve",
            "execveat",
            "ptrace",
            "bpf",
            "keyctl",
            "kexec_load",
            "init_module",
            "finit_module",
            "io_uring_setup",
            "perf_event_open",
            "userfaultfd",
            "open_by_handle_at",
            "fsopen",
            "fsconfig",
            "seccomp",
            "mmap",
            "mprotect",
            "kill",
            "reboot",
            "swapon",
            "unshare",
        ] {
            assert!(!list.contains(&name), "{name}");
        }
    }
    // The eyes find no file by a path, and make neither a process, a thread nor a connection.
    for name in [
        "open",
        "openat",
        "openat2",
        "creat",
        "stat",
        "newfstatat",
        "statx",
        "mount",
        "umount2",
        "chroot",
        "chdir",
        "setns",
        "unlinkat",
        "mknodat",
        "clone",
        "clone3",
        "fork",
        "vfork",
        "connect",
        "bind",
        "socket",
        "capset",
        "prctl",
        "setresuid",
    ] {
        assert!(!EYES.contains(&name), "{name}");
    }
    assert!(!HANDS.contains(&"process_vm_readv") && !HANDS.contains(&"process_vm_writev"));
    assert!(EYES.len() <= 40, "{} calls of the eyes", EYES.len());
    assert_eq!(EYES_IOCTLS.len(), 5);
    // A hand that answers by itself has no path call that a hand has not, and none that changes a name.
    for name in
        ["clone", "connect", "linkat", "mknodat", "mount", "process_vm_writev", "renameat2", "setns", "unlinkat"]
    {
        assert!(!ALONE.contains(&name), "{name}");
    }
    let of_eyes = ["clock_nanosleep", "pidfd_getfd", "process_vm_readv", "sched_yield"];
    assert!(ALONE.iter().all(|name| HANDS.contains(name) || of_eyes.contains(name)));
    // The loader makes no process, joins nobody and finds nothing but the directory above another; of bpf(2) it has no maps,
    // pins nothing and opens no program of others.
    for name in
        ["clone", "clone3", "fork", "setns", "socket", "openat", "read", "write", "process_vm_readv", "pidfd_getfd"]
    {
        assert!(!LOADER.contains(&name), "{name}");
    }
    assert_eq!(LOADER_COMMANDS, [5, 8, 9, 15, 16]);
}
