//! Files of the host and of others, and what files can be made to carry.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, done_io, seen};
use crate::probe::Control::{Host, User};
use crate::probe::{Probe, probe};
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zviz_sys::probe::Arg::{Bytes, Int, Text};
use zviz_sys::probe::call;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("read-outside", "a file outside that everybody may read", "path_resolution(7)", User, |bait| secret(&bait.folder.join("secret"), bait)),
    probe("read-above-folder", "a file beside the folder that is shared", "CVE-2025-54794, path_resolution(7)", User, |bait| secret(Path::new("../secret"), bait)),
    probe("read-by-link", "a file outside by a symbolic link", "CVE-2018-15664, symlink(7)", User, read_by_link),
    probe("read-by-process-1", "a file outside by the root of process 1", "proc(5)", Host, |bait| secret(&below("/proc/1/root", &bait.folder.join("secret")), bait)),
    probe("read-by-victim", "a file outside by the root of a process there", "proc(5)", Host, |bait| secret(&below(&format!("/proc/{}/root", bait.victim), &bait.folder.join("secret")), bait)),
    probe("read-by-many-parents", "a file outside by more .. than there are folders", "CVE-2024-21626, path_resolution(7)", User, |bait| secret(&below(&"../".repeat(64), &bait.folder.join("secret")), bait)),
    probe("write-outside", "a file in a folder that everybody may write", "CVE-2019-18837, path_resolution(7)", User, |bait| done_io(fs::write(bait.folder.join("open/written"), "x"))),
    probe("connect-outside", "a socket of the host that everybody may connect to", "CVE-2020-15257, unix(7)", User, |bait| done_io(UnixStream::connect(&bait.socket))),
    probe("shadow-passwords", "the system's passwords", "shadow(5)", Host, |_| open("/etc/shadow")),
    probe("private-host-keys", "keys that the machine is known by", "sshd(8)", Host, |_| open("/etc/ssh/ssh_host_ed25519_key")),
    probe("sudoers", "who may become root", "sudoers(5)", Host, |_| open("/etc/sudoers")),
    probe("home-secrets", "keys and tokens of the caller", "CVE-2025-59532, ssh(1), capabilities(7)", Host, |_| home_secrets()),
    probe("engine-sockets", "sockets of engines, buses and agents", "CVE-2025-9074, unix(7)", Host, |_| engines()),
    probe("list-var-log", "the machine's logs", "hier(7)", Host, |_| list("/var/log")),
    probe("list-var-lib", "the machine's data", "hier(7)", Host, |_| list("/var/lib")),
    probe("list-boot", "the machine's kernels", "hier(7)", Host, |_| list("/boot")),
    probe("list-run", "services of the machine", "hier(7)", Host, |_| seen(["/run/systemd", "/run/dbus", "/run/udev", "/run/docker.sock", "/run/mount", "/run/sshd"].iter().any(|path| Path::new(path).exists()), "a service's folder")),
    probe("write-passwd", "the list of users", "CVE-2022-0847, passwd(5)", Host, |_| write("/etc/passwd")),
    probe("write-preload", "a library for every program", "ld.so(8)", Host, |_| made_in(Path::new("/etc"))),
    probe("write-program", "a program of the system", "CVE-2019-5736, hier(7)", Host, |_| write("/usr/bin/env")),
    probe("write-library", "a library of the system", "CVE-2016-5195, hier(7)", Host, |_| made_in(Path::new("/usr/lib"))),
    probe("write-root", "a folder beside those of the system", "hier(7)", Host, |_| made_in(Path::new("/"))),
    probe("write-cron", "a program that runs later, outside", "cron(8)", Host, |_| made_in(Path::new("/etc/cron.d"))),
    probe("write-units", "a service of the host", "systemd.unit(5)", Host, |_| made_in(Path::new("/etc/systemd/system"))),
    probe("trusted-attribute", "attributes that overlays believe", "CVE-2021-3493, xattr(7)", Host, |_| attribute(c"trusted.zviz", b"x")),
    probe("file-capabilities", "a program with rights", "CVE-2021-3493, capabilities(7)", Host, |_| attribute(c"security.capability", &[1, 0, 0, 2, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    probe("security-attribute", "a label of files", "xattr(7)", Host, |_| attribute(c"security.zviz", b"x")),
    probe("set-user-id-shared", "a set-user-ID program in the folder that is shared", "chmod(2), capabilities(7)", Host, set_user_id),
    probe("execute-written", "a program that it has written", "execve(2), Documentation/userspace-api/landlock.rst", User, |_| execute_written()),
    probe("execute-memory", "a program that is in no file system", "memfd_create(2), execveat(2)", User, |_| execute_memory()),
];

/// A path of the host's root below another.
fn below(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether a file has the word.
fn secret(path: &Path, bait: &Bait) -> Outcome {
    match fs::read_to_string(path) {
        Ok(text) => seen(text == bait.word, "the word"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

fn read_by_link(bait: &Bait) -> Outcome {
    let link = std::env::temp_dir().join(format!("zviz-selftest-link-{}", std::process::id()));
    if let Err(error) = std::os::unix::fs::symlink(bait.folder.join("secret"), &link) {
        return done_io::<()>(Err(error));
    }
    let outcome = secret(&link, bait);
    // In a folder that goes.
    let _ = fs::remove_file(&link);
    outcome
}

fn open(path: &str) -> Outcome {
    done_io(File::open(path))
}

/// Opened for writing, and left as it is.
fn write(path: &str) -> Outcome {
    done_io(File::options().write(true).open(path))
}

/// A file without a name, so that nothing is left of it.
fn made_in(folder: &Path) -> Outcome {
    done_io(File::options().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder))
}

fn list(folder: &str) -> Outcome {
    match fs::read_dir(folder) {
        Ok(mut entries) => seen(entries.next().is_some(), "what is in it"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

fn home_secrets() -> Outcome {
    const PLACES: &[&str] = &[
        ".ssh/id_ed25519",
        ".ssh/id_rsa",
        ".ssh/authorized_keys",
        ".aws/credentials",
        ".config/gcloud",
        ".azure",
        ".kube/config",
        ".docker/config.json",
        ".netrc",
        ".git-credentials",
        ".npmrc",
        ".pypirc",
        ".gnupg/private-keys-v1.d",
        ".cargo/credentials.toml",
        ".bash_history",
        ".config/gh/hosts.yml",
        ".password-store",
    ];
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let filled = |path: &PathBuf| match fs::metadata(path) {
        Ok(found) if found.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        Ok(_) => fs::read(path).is_ok_and(|bytes| !bytes.is_empty()),
        Err(_) => false,
    };
    match PLACES.iter().map(|place| home.join(place)).find(filled) {
        Some(path) => Outcome::Succeeded(format!("{} is seen", path.display())),
        None => Outcome::Blocked("none is there".into()),
    }
}

fn engines() -> Outcome {
    const SOCKETS: &[&str] = &[
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
        "/run/buildkit/buildkitd.sock",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/run/systemd/journal/stdout",
        "/run/snapd.socket",
        "/run/libvirt/libvirt-sock",
        "/tmp/.X11-unix/X0",
    ];
    match SOCKETS.iter().find(|path| UnixStream::connect(path).is_ok()) {
        Some(path) => Outcome::Succeeded(format!("{path} answers")),
        None => Outcome::Blocked("none answers".into()),
    }
}

/// A file of its own in /tmp, gone when dropped.
struct Own(PathBuf);

impl Own {
    fn new(what: &str) -> io::Result<Own> {
        let path = PathBuf::from(format!("/tmp/zviz-selftest-{what}-{}", std::process::id()));
        fs::write(&path, "")?;
        Ok(Own(path))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // In a folder that goes.
        let _ = fs::remove_file(&self.0);
    }
}

/// Of a file of its own.
fn attribute(name: &std::ffi::CStr, value: &[u8]) -> Outcome {
    let own = match Own::new("attribute") {
        Ok(own) => own,
        Err(error) => return done_io::<()>(Err(error)),
    };
    let Ok(path) = CString::new(own.0.to_string_lossy().as_bytes()) else {
        return Outcome::Unknown("a name with a NUL".into());
    };
    done(call(libc::SYS_setxattr, &mut [Text(&path), Text(name), Bytes(value), Int(value.len() as i64), Int(0)]))
}

/// Of a file that the sandbox makes. It belongs to whom it belongs outside.
fn set_user_id(bait: &Bait) -> Outcome {
    let path = bait.folder.join("work/set-user-id");
    let made = fs::write(&path, "")
        .map_err(|_| nix::errno::Errno::EROFS)
        .and_then(|()| fchmodat(AT_FDCWD, &path, Mode::from_bits_truncate(0o4755), FchmodatFlags::FollowSymlink));
    let outcome = match made {
        Ok(()) => seen(fs::metadata(&path).is_ok_and(|found| found.mode() & 0o4000 != 0), "a set-user-ID bit"),
        Err(errno) => done::<()>(Err(errno)),
    };
    let _ = fs::remove_file(&path);
    outcome
}

/// This program, which ends at once where it is asked to wait for the end of nothing.
fn runs(program: &Path) -> Outcome {
    let mut command = Command::new(program);
    command.args(["selftest-part", "wait"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Outcome::Succeeded("it ran".into()),
        Ok(status) => Outcome::Blocked(format!("it ended: {status}")),
        Err(error) => done_io::<()>(Err(error)),
    }
}

fn execute_written() -> Outcome {
    let copied = Own::new("program").and_then(|own| {
        fs::copy("/proc/self/exe", &own.0)?;
        fs::set_permissions(&own.0, fs::Permissions::from_mode(0o700))?;
        Ok(own)
    });
    match copied {
        Ok(own) => runs(&own.0),
        Err(error) => done_io::<()>(Err(error)),
    }
}

fn execute_memory() -> Outcome {
    let made = memfd_create("zviz-selftest", MFdFlags::empty()).map_err(io::Error::from).and_then(|memory| {
        let mut memory = File::from(memory);
        io::copy(
            &mut File::options().read(true).custom_flags(OFlag::O_CLOEXEC.bits()).open("/proc/self/exe")?,
            &mut memory,
        )?;
        Ok(memory)
    });
    match made {
        Ok(memory) => runs(Path::new(&format!("/proc/self/fd/{}", memory.as_raw_fd()))),
        Err(error) => done_io::<()>(Err(error)),
    }
}
