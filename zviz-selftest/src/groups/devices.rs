//! Devices of the machine, nodes for them, and what drivers do when they are asked.

use crate::outcome::{Outcome, done, done_io, made_or, seen};
use crate::probe::Control::{Host, Impossible, Root};
use crate::probe::{Probe, probe};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zviz_sys::probe::Arg::{Bytes, Fd, Int, Text};
use zviz_sys::probe::call;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("dev-mem", "the machine's memory", "mem(4)", Host, |_| open("/dev/mem")),
    probe("dev-port", "I/O ports as a file", "mem(4)", Host, |_| open("/dev/port")),
    probe("dev-kmsg", "the kernel's messages, with its addresses", "Documentation/ABI/testing/dev-kmsg", Host, |_| open("/dev/kmsg")),
    probe("dev-fuse", "file systems that a program makes up", "fuse(4)", Host, |_| open("/dev/fuse")),
    probe("dev-tun", "network interfaces that a program makes up", "Documentation/networking/tuntap.rst", Host, |_| open("/dev/net/tun")),
    probe("dev-kvm", "virtual machines", "Documentation/virt/kvm/api.rst", Host, |_| open("/dev/kvm")),
    probe("dev-vhost-net", "the kernel's end of virtual networks", "CVE-2019-14835, Documentation/networking/index.rst", Host, |_| open("/dev/vhost-net")),
    probe("dev-vsock", "the hypervisor's address", "vsock(7)", Host, |_| open("/dev/vsock")),
    probe("dev-loop-control", "files as disks", "loop(4)", Host, |_| open("/dev/loop-control")),
    probe("dev-loop", "such a disk", "loop(4)", Host, |_| open("/dev/loop0")),
    probe("dev-mapper", "disks made of disks", "Documentation/admin-guide/device-mapper/index.rst", Host, |_| open("/dev/mapper/control")),
    probe("dev-disk", "a disk of the machine", "sd(4)", Host, |_| first(&["/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/xvda", "/dev/mmcblk0", "/dev/pmem0"])),
    probe("dev-uinput", "keyboards and mice that a program makes up", "Documentation/input/uinput.rst", Host, |_| open("/dev/uinput")),
    probe("dev-input", "what is typed", "Documentation/input/input.rst", Host, |_| first(&["/dev/input/event0", "/dev/input/mice"])),
    probe("dev-dri", "graphics", "Documentation/gpu/drm-uapi.rst", Host, |_| first(&["/dev/dri/card0", "/dev/dri/renderD128"])),
    probe("dev-framebuffer", "the screen", "CVE-2021-33655, Documentation/fb/api.rst", Host, |_| open("/dev/fb0")),
    probe("dev-msr", "registers of the processor", "msr(4)", Host, |_| open("/dev/cpu/0/msr")),
    probe("dev-rtc", "the clock of the machine", "rtc(4)", Host, |_| first(&["/dev/rtc0", "/dev/rtc"])),
    probe("dev-hpet", "timers of the machine", "Documentation/timers/hpet.rst", Host, |_| open("/dev/hpet")),
    probe("dev-watchdog", "what resets the machine when it is opened and left", "Documentation/watchdog/watchdog-api.rst", Impossible("whoever opens it must feed it"), |_| seen(Path::new("/dev/watchdog").exists(), "/dev/watchdog")),
    probe("dev-userfaultfd", "page faults held open, by a device", "userfaultfd(2)", Host, |_| open("/dev/userfaultfd")),
    probe("dev-console-virtual", "the keyboard's and screen's own terminal", "console_ioctl(2), tty(4)", Host, |_| first(&["/dev/tty0", "/dev/tty1"])),
    probe("dev-screen-memory", "what stands on a console", "vcs(4)", Host, |_| first(&["/dev/vcs", "/dev/vcsa"])),
    probe("dev-serial", "serial lines", "ttyS(4)", Host, |_| seen(Path::new("/dev/ttyS0").exists(), "/dev/ttyS0")),
    probe("dev-autofs", "mounts when somebody looks", "Documentation/filesystems/autofs.rst", Host, |_| open("/dev/autofs")),
    probe("dev-btrfs-control", "disks of a file system", "Documentation/filesystems/btrfs.rst", Host, |_| open("/dev/btrfs-control")),
    probe("dev-snapshot", "the machine's memory, for hibernation", "Documentation/power/userland-swsusp.rst", Impossible("whoever opens it stops others from it"), |_| seen(Path::new("/dev/snapshot").exists(), "/dev/snapshot")),
    probe("mknod-mem", "a node for the machine's memory", "CVE-2026-41579, mknod(2)", Root, |_| node(libc::S_IFCHR, 1, 1)),
    probe("mknod-kmsg", "a node for the kernel's messages", "mknod(2)", Root, |_| node(libc::S_IFCHR, 1, 11)),
    probe("mknod-disk", "a node for a disk", "mknod(2)", Root, |_| node(libc::S_IFBLK, 8, 0)),
    probe("mknod-fuse", "a node for file systems that a program makes up", "mknod(2), fuse(4)", Root, |_| node(libc::S_IFCHR, 10, 229)),
    probe("mknod-tun", "a node for network interfaces", "mknod(2)", Root, |_| node(libc::S_IFCHR, 10, 200)),
    probe("tiocsti", "words typed into a terminal", "CVE-2017-5226, ioctl_tty(2)", Host, |_| terminal(0x5412, b"x")),
    probe("tioclinux", "words pasted into a console", "CVE-2023-28100, console_ioctl(2)", Host, |_| terminal(0x541c, &[3])),
    probe("tiocsetd", "another line discipline", "CVE-2017-2636, ioctl_tty(2)", Host, |_| terminal(0x5423, &[0; 4])),
    probe("tioccons", "what is written to the console", "ioctl_tty(2)", Impossible("the console would go astray"), |_| terminal(0x541d, &[0; 4])),
    probe("keyboard-map", "what keys mean", "console_ioctl(2)", Host, |_| terminal(0x4b47, &[0; 4])),
    probe("keyboard-strings", "text on function keys", "CVE-2020-25656, console_ioctl(2)", Host, |_| terminal(0x4b49, &[0; 520])),
    probe("freeze", "a file system stopped", "FIFREEZE: ioctl_fsfreeze, Documentation/filesystems/locking.rst", Host, |_| freeze()),
    probe("trim", "a disk's blocks given back", "FITRIM: fstrim(8)", Host, |_| trim()),
    probe("host-terminals", "terminals of the host", "CVE-2025-52565, pts(4)", Host, |_| terminals()),
];

/// Nothing is read, and nobody is kept waiting.
fn open(path: &str) -> Outcome {
    done_io(File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path))
}

/// The first of these that is there.
fn first(paths: &[&str]) -> Outcome {
    open(paths.iter().find(|path| Path::new(path).exists()).or(paths.first()).copied().unwrap_or_default())
}

/// Made in a folder that goes, and not opened.
fn node(kind: u32, major: u32, minor: u32) -> Outcome {
    let Ok(path) = CString::new(format!("/tmp/zviz-selftest-{}", std::process::id())) else {
        return Outcome::Unknown("a name with a NUL".into());
    };
    let (mode, device) = (Int(i64::from(kind | 0o600)), Int(i64::from(major << 8 | minor)));
    let made = call(libc::SYS_mknodat, &mut [Int(libc::AT_FDCWD.into()), Text(&path), mode, device]);
    // It was not made where that is what is told.
    let _ = nix::unistd::unlink(path.as_c_str());
    done(made)
}

/// Whether it exists. Every terminal says so, and no program asks: under a list of driver calls it is ENOTTY.
const TIOCGEXCL: i64 = 0x8004_5440;

/// Of a terminal of its own. ENOTTY and EINVAL are the driver's words, unless a list of driver calls says them.
fn terminal(command: i64, argument: &[u8]) -> Outcome {
    let slave = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).and_then(|master| {
        grantpt(&master)?;
        unlockpt(&master)?;
        Ok((ptsname_r(&master)?, master))
    });
    let (name, _master) = match slave {
        Ok(pair) => pair,
        Err(errno) => return done::<()>(Err(errno)),
    };
    let slave = match File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name) {
        Ok(slave) => slave,
        Err(error) => return done_io::<()>(Err(error)),
    };
    let ask =
        |command: i64, argument: &[u8]| call(libc::SYS_ioctl, &mut [Fd(slave.as_fd()), Int(command), Bytes(argument)]);
    let listed = ask(TIOCGEXCL, &[0; 4]) == Err(Errno::ENOTTY);
    made_or(ask(command, argument), if listed { &[Errno::ENOTTY] } else { &[] })
}

/// Of a file of proc, which cannot be frozen, and says so to those who may ask.
fn freeze() -> Outcome {
    driven("/proc/self/status", 0xc004_5877, &[Errno::EOPNOTSUPP])
}

/// Of no byte of the working directory's disk. ENOTTY is a file system that never trims.
fn trim() -> Outcome {
    driven(".", 0xc018_5879, &[Errno::EOPNOTSUPP, Errno::EINVAL])
}

fn driven(path: &str, command: i64, words: &[Errno]) -> Outcome {
    match File::open(path) {
        Ok(file) => match call(libc::SYS_ioctl, &mut [Fd(file.as_fd()), Int(command), Bytes(&[0; 24])]) {
            Err(errno) if words.contains(&errno) => Outcome::Succeeded(format!("let through: {errno:?}")),
            other => done(other),
        },
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// Of anybody: none is made inside before this.
fn terminals() -> Outcome {
    match std::fs::read_dir("/dev/pts") {
        Ok(entries) => {
            let mut names = entries.flatten().map(|entry| entry.file_name());
            seen(names.any(|name| name.to_string_lossy().parse::<u32>().is_ok()), "a terminal")
        }
        Err(error) => done_io::<()>(Err(error)),
    }
}
