//! New namespaces, others' namespaces, the mount table, and rights that are not there.

use crate::outcome::{Outcome, done, made, made_or};
use crate::probe::Control::{Host, Root, User};
use crate::probe::{Probe, probe};
use libc::{CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS};
use nix::errno::Errno;
use nix::sys::utsname::{UtsName, uname};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use zviz_sys::probe::Arg::{Bytes, Fd, Int, Text};
use zviz_sys::probe::{self as raw, call};

/// CLONE_NEWTIME of `<linux/sched.h>`, which clone(2) does not take.
const CLONE_NEWTIME: i32 = 0x80;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("unshare-user", "a user namespace, and every capability in it", "CVE-2022-0185, user_namespaces(7)", User, |_| unshare(CLONE_NEWUSER)),
    probe("unshare-mount", "a mount table of its own", "mount_namespaces(7)", Root, |_| unshare(CLONE_NEWNS)),
    probe("unshare-net", "a network of its own, with netfilter in reach", "CVE-2022-32250, network_namespaces(7)", Root, |_| unshare(CLONE_NEWNET)),
    probe("unshare-pid", "process numbers of its own", "pid_namespaces(7)", Root, |_| unshare(CLONE_NEWPID)),
    probe("unshare-ipc", "System V IPC of its own", "ipc_namespaces(7)", Root, |_| unshare(CLONE_NEWIPC)),
    probe("unshare-uts", "a host name of its own", "uts_namespaces(7)", Root, |_| unshare(CLONE_NEWUTS)),
    probe("unshare-cgroup", "another root of the cgroups", "cgroup_namespaces(7)", Root, |_| unshare(CLONE_NEWCGROUP)),
    probe("unshare-time", "clocks of its own", "time_namespaces(7)", Root, |_| unshare(CLONE_NEWTIME)),
    probe("clone-user", "a process in a user namespace, by clone(2)", "CVE-2023-0386, clone(2)", User, |_| clone(CLONE_NEWUSER)),
    probe("clone-user-and-ipc", "two namespaces at once, for lists that compare whole flags", "CVE-2019-7303, clone(2)", User, |_| clone(CLONE_NEWUSER | CLONE_NEWIPC)),
    probe("clone3-user", "a process in a user namespace, with flags behind a pointer", "clone(2), seccomp(2)", User, |_| clone3(CLONE_NEWUSER)),
    probe("setns-own-file", "its own mount namespace again, by a file of proc", "setns(2)", Root, |_| setns_file("/proc/self/ns/mnt", CLONE_NEWNS)),
    probe("setns-process-1", "a namespace of process 1", "setns(2), user_namespaces(7)", Root, |_| setns_file("/proc/1/ns/uts", CLONE_NEWUTS)),
    probe("setns-pidfd", "the namespaces of a process, by its pidfd", "setns(2), pidfd_open(2)", Root, |_| setns_pidfd()),
    probe("setns-victim", "the mount namespace of a process outside", "CVE-2022-31214, setns(2)", Root, |bait| setns_file(&format!("/proc/{}/ns/mnt", bait.victim), CLONE_NEWNS)),
    probe("mount-tmpfs", "an empty file system over a folder", "mount(2)", Root, |_| mount(c"tmpfs", c"/tmp", c"tmpfs", 0)),
    probe("mount-proc", "a proc without masks", "CVE-2025-31133, proc(5)", Root, |_| mount(c"proc", c"/tmp", c"proc", 0)),
    probe("mount-sysfs", "a sysfs that can be written", "sysfs(5), mount(2)", Root, |_| mount(c"sysfs", c"/tmp", c"sysfs", 0)),
    probe("mount-cgroup2", "the tree of cgroups", "CVE-2022-0492, cgroups(7)", Root, |_| mount(c"cgroup2", c"/tmp", c"cgroup2", 0)),
    probe("mount-cgroup-v1", "a hierarchy with release_agent", "CVE-2022-0492, cgroups(7)", Root, |_| made_or(call(libc::SYS_mount, &mut [Text(c"none"), Text(c"/tmp"), Text(c"cgroup"), Int(0), Text(c"none,name=zviz-selftest")]), &[Errno::EBUSY])),
    probe("mount-devpts", "terminals of its own", "CVE-2025-52565, devpts: Documentation/filesystems/devpts.rst", Root, |_| mount(c"devpts", c"/tmp", c"devpts", 0)),
    probe("mount-mqueue", "message queues as files", "mq_overview(7)", Root, |_| mount(c"mqueue", c"/tmp", c"mqueue", 0)),
    probe("mount-overlay", "an overlay, whose copies keep set-user-ID", "CVE-2023-0386, Documentation/filesystems/overlayfs.rst", Root, |_| mounted(c"overlay", c"/tmp", c"overlay", 0, c"lowerdir=/etc:/usr")),
    probe("mount-bind", "a folder at another place, where no mask covers it", "CVE-2021-30465, mount(2)", Root, |_| mount(c"/proc", c"/tmp", c"", libc::MS_BIND)),
    probe("mount-remount-rw", "what is read-only made writable", "mount(2), mount_namespaces(7)", Root, |_| mount(c"none", c"/", c"", libc::MS_REMOUNT | libc::MS_BIND)),
    probe("mount-remount-proc-sys", "kernel settings made writable", "CVE-2019-16884, proc(5)", Root, |_| remount_proc_sys()),
    probe("mount-propagation", "mounts that reach the host", "mount_namespaces(7), Documentation/filesystems/sharedsubtree.rst", Root, |_| mount(c"none", c"/", c"", libc::MS_SHARED | libc::MS_REC)),
    probe("umount-read-only", "what makes kernel settings read-only taken away", "CVE-2025-31133, umount(2)", Root, |_| umount()),
    probe("pivot-root", "another root", "pivot_root(2)", Root, |_| made(call(libc::SYS_pivot_root, &mut [Text(c"/"), Text(c"/")]))),
    probe("chroot", "another root, and out of it by a folder that is open", "chroot(2)", Root, |_| done(call(libc::SYS_chroot, &mut [Text(c"/tmp")]))),
    probe("fsopen", "a file system by the newer calls, which older lists do not know", "CVE-2021-41133, fsopen(2)", Root, |_| done(call(libc::SYS_fsopen, &mut [Text(c"tmpfs"), Int(0)]))),
    probe("fsconfig", "a parameter of a file system that is being made", "CVE-2022-0185, fsconfig(2)", Root, |_| made(call(libc::SYS_fsconfig, &mut [Int(-1), Int(0), Int(0), Int(0), Int(0)]))),
    probe("fsmount", "a mount of it", "fsmount(2)", Root, |_| made(call(libc::SYS_fsmount, &mut [Int(-1), Int(0), Int(0)]))),
    probe("fspick", "a mounted file system, to configure it anew", "fspick(2)", Root, |_| done(call(libc::SYS_fspick, &mut [Int(AT), Text(c"/"), Int(0)]))),
    probe("open-tree", "a mount cloned, to be put elsewhere", "CVE-2021-41133, open_tree(2)", Root, |_| done(call(libc::SYS_open_tree, &mut [Int(AT), Text(c"/"), Int(1)]))),
    probe("open-tree-attr", "a mount cloned with other attributes", "open_tree(2), mount_setattr(2)", Root, |_| done(call(raw::OPEN_TREE_ATTR, &mut [Int(AT), Text(c"/"), Int(1), Bytes(&[0; 32]), Int(32)]))),
    probe("move-mount", "a mount moved", "move_mount(2)", Root, |_| made(call(libc::SYS_move_mount, &mut [Int(-1), Text(c""), Int(-1), Text(c""), Int(0x44)]))),
    probe("mount-setattr", "read-only taken from a mount", "mount_setattr(2)", Root, |_| mount_setattr()),
    probe("sethostname", "another host name", "sethostname(2)", Root, |_| rename(libc::SYS_sethostname, |now| now.nodename())),
    probe("setdomainname", "another domain name", "setdomainname(2)", Root, |_| rename(libc::SYS_setdomainname, |now| now.domainname())),
    probe("capabilities-effective", "a right of any kind in effect", "CVE-2022-24769, capabilities(7)", Host, |_| capabilities("CapEff:")),
    probe("capabilities-permitted", "a right that can be put in effect", "capabilities(7)", Host, |_| capabilities("CapPrm:")),
    probe("capabilities-bounding", "a right that a program can bring", "capabilities(7)", Host, |_| capabilities("CapBnd:")),
    probe("capset-sys-admin", "the right to nearly everything", "capset(2), capabilities(7)", Host, |_| done(set_capabilities(SYS_ADMIN, 0))),
    probe("no-new-privs", "a set-user-ID program that works", "CVE-2022-0847, PR_SET_NO_NEW_PRIVS: Documentation/userspace-api/no_new_privs.rst", Host, |_| no_new_privs()),
    probe("setuid-other", "another user's id", "setuid(2), user_namespaces(7)", Host, |_| done(call(libc::SYS_setuid, &mut [Int(12345)]))),
    probe("setgid-other", "another group's id", "setgid(2)", Host, |_| done(call(libc::SYS_setgid, &mut [Int(12345)]))),
    probe("setgroups", "other groups, or none that is denied something", "CVE-2022-36109, CVE-2018-7169, setgroups(2)", Host, |_| done(call(libc::SYS_setgroups, &mut [Int(1), Bytes(&12345u32.to_ne_bytes())]))),
    probe("uid-map", "ids of the host mapped to itself", "CVE-2018-18955, user_namespaces(7)", Host, |_| uid_map()),
    probe("keep-capabilities", "rights that outlast a change of user", "prctl(2) PR_SET_SECUREBITS, capabilities(7)", Host, |_| done(call(libc::SYS_prctl, &mut [Int(28), Int(1)]))),
    probe("ambient", "rights for every program that it executes", "CVE-2022-29162, capabilities(7)", Host, |_| ambient()),
    probe("bounding-drop", "bounds of rights, which only CAP_SETPCAP changes", "prctl(2) PR_CAPBSET_DROP", Host, |_| done(call(libc::SYS_prctl, &mut [Int(24), Int(40), Int(0), Int(0), Int(0)]))),
];

const AT: i64 = libc::AT_FDCWD as i64;

/// The name that it has: it may be the host's.
fn rename(call: i64, now: fn(&UtsName) -> &OsStr) -> Outcome {
    let uts = match uname() {
        Ok(uts) => uts,
        Err(errno) => return done::<()>(Err(errno)),
    };
    let name = now(&uts).as_bytes();
    done(raw::call(call, &mut [Bytes(name), Int(name.len() as i64)]))
}

fn unshare(flag: i32) -> Outcome {
    made(call(libc::SYS_unshare, &mut [Int(i64::from(flag))]))
}

/// The new process has nothing more to do.
fn clone(flags: i32) -> Outcome {
    match call(libc::SYS_clone, &mut [Int(i64::from(flags | libc::SIGCHLD))]) {
        Ok(0) => zviz_sys::process::exit(0),
        other => made(other),
    }
}

fn clone3(flags: i32) -> Outcome {
    let mut arguments = [0u8; 64];
    let fields = [(0, flags as u64), (32, libc::SIGCHLD as u64)];
    for (at, value) in fields {
        if let Some(field) = arguments.get_mut(at..at + 8) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
    }
    match call(libc::SYS_clone3, &mut [Bytes(&arguments), Int(64)]) {
        Ok(0) => zviz_sys::process::exit(0),
        other => made(other),
    }
}

fn setns_file(path: &str, kind: i32) -> Outcome {
    match File::open(path) {
        Ok(file) => made(call(libc::SYS_setns, &mut [Fd(file.as_fd()), Int(i64::from(kind))])),
        Err(error) => crate::outcome::done_io::<()>(Err(error)),
    }
}

fn setns_pidfd() -> Outcome {
    let own = i32::try_from(std::process::id()).map_err(|_| Errno::EINVAL).and_then(zviz_sys::process::pidfd_open);
    match own {
        Ok(own) => made(call(libc::SYS_setns, &mut [Fd(own.as_fd()), Int(i64::from(CLONE_NEWNS))])),
        Err(errno) => done::<()>(Err(errno)),
    }
}

fn mount(source: &std::ffi::CStr, target: &std::ffi::CStr, kind: &std::ffi::CStr, flags: u64) -> Outcome {
    mounted(source, target, kind, flags, c"")
}

/// A mount that is made; ENODEV is a kernel without that file system.
fn mounted(
    source: &std::ffi::CStr,
    target: &std::ffi::CStr,
    kind: &std::ffi::CStr,
    flags: u64,
    options: &std::ffi::CStr,
) -> Outcome {
    let Ok(flags) = i64::try_from(flags) else { return Outcome::Unknown("flags".into()) };
    let mut args = [Text(source), Text(target), Text(kind), Int(flags), Text(options)];
    made_or(call(libc::SYS_mount, &mut args), &[Errno::ENODEV])
}

/// In the control it has to be a mount first, which every sandbox has made it.
fn remount_proc_sys() -> Outcome {
    let bind = libc::MS_BIND as i64;
    let path = c"/proc/sys";
    // Refused in a sandbox, like what follows.
    let _ = call(libc::SYS_mount, &mut [Text(path), Text(path), Text(c""), Int(bind), Text(c"")]);
    mount(c"none", path, c"", libc::MS_REMOUNT | libc::MS_BIND)
}

/// In the control it has to be a mount first.
fn umount() -> Outcome {
    let (path, bind) = (c"/proc/sys", libc::MS_BIND as i64);
    let _ = call(libc::SYS_mount, &mut [Text(path), Text(path), Text(c""), Int(bind), Text(c"")]);
    made(call(libc::SYS_umount2, &mut [Text(path), Int(i64::from(libc::MNT_DETACH))]))
}

fn mount_setattr() -> Outcome {
    let mut attributes = [0u8; 32];
    // attr_clr: MOUNT_ATTR_RDONLY.
    if let Some(clear) = attributes.get_mut(8..16) {
        clear.copy_from_slice(&1u64.to_ne_bytes());
    }
    made(call(libc::SYS_mount_setattr, &mut [Int(AT), Text(c"/"), Int(0), Bytes(&attributes), Int(32)]))
}

/// A set of /proc/self/status.
fn capabilities(field: &str) -> Outcome {
    let status = match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => return crate::outcome::done_io::<()>(Err(error)),
    };
    let mut lines = status.lines().filter_map(|line| line.strip_prefix(field));
    match lines.next().map(str::trim).and_then(|mask| u64::from_str_radix(mask, 16).ok()) {
        Some(0) => Outcome::Blocked("none".into()),
        Some(mask) => Outcome::Succeeded(format!("{mask:#x}")),
        None => Outcome::Unknown(format!("no {field} in /proc/self/status")),
    }
}

/// CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 1 << 21;

/// The sets of the lower capabilities; version 3 has two structures of effective, permitted and inheritable.
fn set_capabilities(effective: u32, inheritable: u32) -> Result<i64, Errno> {
    let header = [0x2008_0522u32.to_ne_bytes(), 0u32.to_ne_bytes()].concat();
    let sets = [effective, effective, inheritable, 0, 0, 0].map(u32::to_ne_bytes).concat();
    call(libc::SYS_capset, &mut [Bytes(&header), Bytes(&sets)])
}

fn ambient() -> Outcome {
    // Refused where nothing is permitted, as is what follows.
    let _ = set_capabilities(SYS_ADMIN, SYS_ADMIN);
    done(call(libc::SYS_prctl, &mut [Int(47), Int(2), Int(21), Int(0), Int(0)]))
}

fn no_new_privs() -> Outcome {
    match call(libc::SYS_prctl, &mut [Int(i64::from(libc::PR_GET_NO_NEW_PRIVS)), Int(0), Int(0), Int(0), Int(0)]) {
        Ok(0) => Outcome::Succeeded("no_new_privs is not set".into()),
        Ok(_) => Outcome::Blocked("no_new_privs is set".into()),
        Err(errno) => done::<()>(Err(errno)),
    }
}

/// All ids of the host, as only the first user namespace has them.
fn uid_map() -> Outcome {
    match std::fs::read_to_string("/proc/self/uid_map") {
        Ok(map) if map.split_ascii_whitespace().eq(["0", "0", "4294967295"]) => {
            Outcome::Succeeded("ids are the host's".into())
        }
        Ok(_) => Outcome::Blocked("a user namespace of its own".into()),
        Err(error) => crate::outcome::done_io::<()>(Err(error)),
    }
}
