//! Around a broker: mounts and nodes that it must not make, rights that come with a user namespace of one's own, and the broker
//! itself. Without a broker the same calls are the filter's to refuse.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, done_io, made, made_or, seen};
use crate::probe::Control::{Host, Root};
use crate::probe::{Probe, probe};
use libc::{CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, MS_REMOUNT};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::fs;
use zviz_sys::probe::Arg::{Int, Text};
use zviz_sys::probe::call;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("mount-debugfs", "the insides of drivers", "Documentation/filesystems/debugfs.rst", Root, |_| mount(c"debugfs", c"")),
    probe("mount-tracefs", "every call of the kernel", "Documentation/trace/ftrace.rst", Root, |_| mount(c"tracefs", c"")),
    probe("mount-securityfs", "policies of security modules", "CVE-2026-23405, Documentation/security/lsm.rst", Root, |_| mount(c"securityfs", c"")),
    probe("mount-bpffs", "programs and maps of others", "Documentation/filesystems/index.rst, bpf(2)", Root, |_| mount(c"bpf", c"")),
    probe("mount-configfs", "devices made by writing files", "Documentation/filesystems/configfs.rst", Root, |_| mount(c"configfs", c"")),
    probe("mount-binfmt", "a program of the host's for files of a kind", "Documentation/admin-guide/binfmt-misc.rst", Root, |_| mount(c"binfmt_misc", c"")),
    probe("mount-devtmpfs", "every device of the machine", "Documentation/admin-guide/devices.rst", Root, |_| mount(c"devtmpfs", c"")),
    probe("mount-ramfs", "memory without a limit", "Documentation/filesystems/ramfs-rootfs-initramfs.rst", Root, |_| mount(c"ramfs", c"")),
    probe("mount-hugetlbfs", "large pages of the machine", "Documentation/admin-guide/mm/hugetlbpage.rst", Root, |_| mount(c"hugetlbfs", c"")),
    probe("mount-fuse", "a file system that a program makes up", "CVE-2022-0185, fuse(4)", Root, |_| mount(c"fuse", c"fd=0,rootmode=40000,user_id=0,group_id=0")),
    probe("mount-9p", "files of the hypervisor", "CVE-2017-7471, Documentation/filesystems/9p.rst", Root, |_| mount(c"9p", c"trans=fd,rfdno=0,wfdno=1")),
    probe("mount-pstore", "what was left by a crash", "Documentation/ABI/testing/pstore", Root, |_| mount(c"pstore", c"")),
    probe("mount-image", "a disk's image, which the kernel parses", "CVE-2023-0386, Documentation/filesystems/ext4/index.rst", Root, |_| image()),
    probe("inside-remount", "what is read-only made writable, with a user namespace of its own", "mount_namespaces(7), CVE-2013-1957", Root, |_| inside(|| remount(c"/usr"))),
    probe("inside-remount-settings", "kernel settings made writable likewise", "CVE-2019-16884, mount_namespaces(7)", Root, |_| inside(|| remount(c"/proc/sys"))),
    probe("inside-umount", "what was mounted taken away likewise", "mount_namespaces(7), CVE-2014-7970", Root, |_| inside(umount)),
    probe("inside-debugfs", "the insides of drivers likewise", "Documentation/filesystems/debugfs.rst", Root, |_| inside(|| mount(c"debugfs", c""))),
    probe("inside-node", "a node for the machine's memory likewise", "mknod(2), user_namespaces(7)", Root, |_| inside(node)),
    probe("inside-device-options", "a file system with devices, and a node in it", "mount(2), mknod(2)", Root, |_| inside(device_on_own)),
    probe("inside-move-root", "the root mounted elsewhere without what covers it", "CVE-2021-30465, mount_namespaces(7)", Root, |_| inside(bind_root)),
    probe("broker-processes", "a process of the broker's, or of the runtime's", "seccomp_unotify(2), pid_namespaces(7)", Host, broker_processes),
    probe("broker-root", "a file of the host's by the broker's root", "seccomp_unotify(2), CVE-2015-1335", Host, |bait| done_io(fs::read(format!("/proc/{}/cwd/../secret", bait.victim)))),
];

fn mount(kind: &CStr, options: &CStr) -> Outcome {
    let mut args = [Text(kind), Text(c"/tmp"), Text(kind), Int(0), Text(options)];
    made_or(call(libc::SYS_mount, &mut args), &[Errno::ENODEV])
}

/// Of no image: a kernel that looks says that it is no block device.
fn image() -> Outcome {
    let mut args = [Text(c"/dev/null"), Text(c"/tmp"), Text(c"ext4"), Int(0), Text(c"")];
    made_or(call(libc::SYS_mount, &mut args), &[Errno::ENODEV])
}

/// An attempt as one is, and if it fails as root of namespaces of one's own.
fn inside(attempt: impl Fn() -> Outcome) -> Outcome {
    let first = attempt();
    if !matches!(first, Outcome::Blocked(_)) {
        return first;
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if call(libc::SYS_unshare, &mut [Int(i64::from(CLONE_NEWUSER | CLONE_NEWNS))]).is_err() {
        return first;
    }
    // Without a map one has the rights all the same; the kernel refuses what it cannot name.
    let _ = fs::write("/proc/self/setgroups", "deny");
    let _ = fs::write("/proc/self/uid_map", format!("0 {uid} 1"));
    let _ = fs::write("/proc/self/gid_map", format!("0 {gid} 1"));
    attempt()
}

/// A mount that is there in every sandbox; the control makes one. EINVAL is no mount.
fn remount(path: &CStr) -> Outcome {
    if inside_control() {
        let _ = call(libc::SYS_mount, &mut [Text(path), Text(path), Text(c""), Int(MS_BIND as i64), Text(c"")]);
    }
    let flags = Int((MS_REMOUNT | MS_BIND) as i64);
    made_or(call(libc::SYS_mount, &mut [Text(c"none"), Text(path), Text(c""), flags, Text(c"")]), &[Errno::EINVAL])
}

/// Whether this process has all the rights of the machine's root, which nobody in a sandbox has.
fn inside_control() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// EINVAL says that it is locked to the mounts around it.
fn umount() -> Outcome {
    let path = c"/proc/sys";
    if inside_control() {
        let _ = call(libc::SYS_mount, &mut [Text(path), Text(path), Text(c""), Int(MS_BIND as i64), Text(c"")]);
    }
    let detach = Int(i64::from(libc::MNT_DETACH));
    made_or(call(libc::SYS_umount2, &mut [Text(path), detach]), &[Errno::EINVAL])
}

fn node() -> Outcome {
    node_in("/tmp")
}

/// A node for the machine's memory, opened: without a file it cannot be known that it leads there.
fn node_in(folder: &str) -> Outcome {
    let Ok(path) = CString::new(format!("{folder}/zviz-selftest-{}", std::process::id())) else {
        return Outcome::Unknown("a name with a NUL".into());
    };
    let (mode, device) = (Int(i64::from(libc::S_IFCHR | 0o600)), Int(1 << 8 | 1));
    let made = call(libc::SYS_mknodat, &mut [Int(libc::AT_FDCWD.into()), Text(&path), mode, device]);
    // Not made is what is told.
    let _ = nix::unistd::unlink(path.as_c_str());
    done(made)
}

fn device_on_own() -> Outcome {
    let mut args = [Text(c"tmpfs"), Text(c"/tmp"), Text(c"tmpfs"), Int(0), Text(c"size=64k")];
    match call(libc::SYS_mount, &mut args) {
        Ok(_) => node_in("/tmp"),
        Err(errno) => done::<()>(Err(errno)),
    }
}

/// Not recursively, so that what lies under the mounts is seen. EINVAL: they are locked.
fn bind_root() -> Outcome {
    let mut args = [Text(c"/"), Text(c"/tmp"), Text(c""), Int(MS_BIND as i64), Text(c"")];
    match made_or(call(libc::SYS_mount, &mut args), &[Errno::EINVAL]) {
        Outcome::Succeeded(_) => made(call(libc::SYS_chroot, &mut [Text(c"/tmp/proc/sys")])),
        refused => refused,
    }
}

/// This program by another name than that of the test's own parts.
fn broker_processes(bait: &Bait) -> Outcome {
    let victim = fs::read_link(format!("/proc/{}/exe", bait.victim));
    match victim {
        Ok(path) => seen(true, &path.display().to_string()),
        Err(error) => done_io::<()>(Err(error)),
    }
}
