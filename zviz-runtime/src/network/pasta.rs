//! A network stack in a process of the caller's: pasta(1), started for one sandbox, and gone with it.
//!
//! ```text
//! zviz ── spawn, killed with zviz ──► pasta --foreground ── joins init's namespaces, makes eth0 with the host's addresses
//!   ▲                                   │
//!   └──── its number, on a pipe ◄───────┘    all is set up: init goes on
//! ```
//!
//! It stays in the foreground, since what it forks would not be killed with the runtime. Where the runtime is root it joins the
//! sandbox's user namespace before it begins, and is that one's root: an id that nobody has outside.

use crate::plan::network::Pasta;
use crate::plan::{Plan, User};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, fchown, pipe2};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zviz_network::policy::{Published, Transport};
use zviz_sys::exec::CStrArray;
use zviz_sys::spawn::{self, Child, Image, Program};
use zviz_sys::{fd, path};

/// What it is called.
pub(super) const NAME: &str = "pasta";
/// How long it may take until it is set up. It takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// As much as is read of what it complains about.
const LONGEST: u64 = 4096;
/// No gateway that stands for the host, no port of the host or of the sandbox but those that are published, nothing that gives
/// other addresses later.
const ALWAYS: &[&str] = &[
    "-f",
    "-q",
    "--config-net",
    "--no-map-gw",
    "--no-dhcp",
    "--no-dhcpv6",
    "--no-ra",
    "-T",
    "none",
    "-U",
    "none",
    "-I",
    "eth0",
];

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("pasta is not installed (Debian's package passt)")]
    Absent,
    /// Somebody else could have put something in its place.
    #[error("{}: {what}", path.display())]
    Foreign {
        /// Where it was found.
        path: PathBuf,
        /// Why it is not trusted.
        what: String,
    },
    /// A system call on the way.
    #[error("pasta: {what}: {}", errno.desc())]
    Call {
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// It cannot be executed.
    #[error("pasta")]
    Start(#[from] spawn::Failure),
    /// It gave up.
    #[error("pasta: {0}")]
    Ended(String),
}

/// The program, looked at and open.
#[derive(Debug)]
pub(crate) struct Found {
    file: OwnedFd,
    path: PathBuf,
}

/// It runs until this is dropped, or this process ends.
#[derive(Debug)]
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Readable when it has ended.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(Child::pidfd)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            // It may have ended before; it is reaped here either way.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks for it on the search path.
///
/// # Errors
/// It is nowhere, or is not root's own.
pub(super) fn find() -> Result<Found, Error> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let found = folders.map(|folder| folder.join(NAME)).find(|path| path.is_file());
    open(&found.ok_or(Error::Absent)?)
}

fn open(path: &Path) -> Result<Found, Error> {
    let foreign = |what: String| Error::Foreign { path: path.to_owned(), what };
    // A link to passt(1), which looks at what it is called by.
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| foreign("holds a NUL byte".into()))?;
    let file = path::open(&name, libc::O_PATH | libc::O_CLOEXEC).map_err(|errno| foreign(errno.desc().into()))?;
    let found = fd::stat(&file).map_err(|errno| foreign(errno.desc().into()))?;
    // In a user namespace, root's files may be nobody's: those of who owns /.
    let root = std::fs::metadata("/").map(|root| root.uid()).unwrap_or(0);
    if found.st_uid != 0 && found.st_uid != root {
        return Err(foreign(format!(
            "belongs to user {}, and is run with the sandbox's network: it must be root's",
            found.st_uid
        )));
    }
    if found.st_mode & 0o022 != 0 {
        return Err(foreign(format!("may be written by others (mode {:o})", found.st_mode & 0o7777)));
    }
    Ok(Found { file, path: path.to_owned() })
}

/// Starts it for the namespaces of `init`, and waits until the sandbox has its addresses.
///
/// # Errors
/// It gave up, with what it says; it is gone then.
pub(super) fn start(
    found: &Found,
    wanted: &Pasta,
    plan: &Plan,
    init: i32,
    [user, network]: [BorrowedFd<'_>; 2],
    rootless: bool,
) -> Result<Running, Error> {
    let call = |what| move |errno| Error::Call { what, errno };
    let (ready, says_ready) = pipe2(OFlag::O_CLOEXEC).map_err(call("make a pipe"))?;
    let (complaints, complains) = pipe2(OFlag::O_CLOEXEC).map_err(call("make a pipe"))?;
    let null = path::open(c"/dev/null", libc::O_RDWR | libc::O_CLOEXEC).map_err(call("open /dev/null"))?;
    let joins = !rootless && matches!(plan.namespaces.user, User::New { .. });
    let mut words: Vec<String> = ALWAYS.iter().map(|word| (*word).to_owned()).collect();
    words.extend(forwarded(&wanted.published));
    // Its own standard output, which is the pipe.
    words.extend(["-P".to_owned(), "/proc/self/fd/1".to_owned()]);
    if joins {
        let (uid, gid) = root_of(plan);
        // It opens the pipe by its path, as somebody else than we are.
        fchown(&says_ready, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(call("hand on a pipe"))?;
        words.extend(["--netns-only", "--netns", "/proc/self/fd/0"].map(str::to_owned));
    } else {
        words.push(init.to_string());
    }
    let argv = [NAME.to_owned()].into_iter().chain(words).map(CString::new);
    let argv: Vec<CString> = argv.collect::<Result<_, _>>().map_err(|_| call("write its arguments")(Errno::EINVAL))?;
    let name = CString::new(found.path.as_os_str().as_bytes()).unwrap_or_default();
    let joined = [(user, libc::CLONE_NEWUSER as u64)];
    let child = spawn::spawn(&Program {
        image: Image::Opened { file: found.file.as_fd(), path: &name },
        argv: &CStrArray::new(argv),
        env: &CStrArray::new(Vec::new()),
        stdio: [if joins { network } else { null.as_fd() }, says_ready.as_fd(), complains.as_fd()],
        join: if joins { &joined } else { &[] },
        root: None,
        cwd: Some(c"/"),
        cgroup: None,
        tasks: &[],
        stays: false,
        confine: None,
    })?;
    drop((says_ready, complains));
    let mut running = Running(Some(child));
    if is_ready(ready.as_fd(), PATIENCE).map_err(call("wait until it is ready"))? {
        return Ok(running);
    }
    if let Some(child) = running.0.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut said = String::new();
    let _ = File::from(complaints).take(LONGEST).read_to_string(&mut said);
    Err(Error::Ended(explained(&said)))
}

/// Whether it has written its number; else it has ended, or takes too long.
fn is_ready(pipe: BorrowedFd<'_>, patience: Duration) -> Result<bool, Errno> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(false),
            Ok(_) => {
                let mut number = [0; 16];
                return Ok(fd::read(pipe, &mut number)? > 0);
            }
        }
    }
}

/// Its last line, which is why it ended, and what would help.
fn explained(said: &str) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("Failed to send"));
    let why = last.unwrap_or("it has ended without a word");
    if why.contains("tun") {
        return format!("{why} (/dev/net/tun must be there, and open to everybody: mode 0666, as udev makes it)");
    }
    why.to_owned()
}

/// The ids outside that are root's inside.
fn root_of(plan: &Plan) -> (u32, u32) {
    let User::New { uids, gids, .. } = &plan.namespaces.user else { return (0, 0) };
    let of = |maps: &[crate::plan::IdMap]| maps.iter().find(|map| map.inside == 0).map_or(0, |map| map.outside);
    (of(uids), of(gids))
}

/// `-t` and `-u` for what is published, and for nothing else.
fn forwarded(ports: &[Published]) -> Vec<String> {
    let mut words = Vec::new();
    for (flag, transport) in [("-t", Transport::Tcp), ("-u", Transport::Udp)] {
        let before = words.len();
        for port in ports.iter().filter(|port| port.transport == transport) {
            let address = match port.address {
                Some(IpAddr::V4(address)) => format!("{address}/"),
                Some(IpAddr::V6(address)) => format!("{address}/"),
                None => String::new(),
            };
            words.extend([flag.to_owned(), format!("{address}{}:{}", port.outside, port.inside)]);
        }
        if words.len() == before {
            words.extend([flag.to_owned(), "none".to_owned()]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_published_is_forwarded() {
        assert_eq!(forwarded(&[]), ["-t", "none", "-u", "none"]);
        let port = |address: Option<&str>, transport| Published {
            address: address.map(|address| address.parse().unwrap()),
            outside: 8080,
            inside: 80,
            transport,
        };
        let ports = [port(None, Transport::Tcp), port(Some("::1"), Transport::Tcp)];
        assert_eq!(forwarded(&ports), ["-t", "8080:80", "-t", "::1/8080:80", "-u", "none"]);
        assert_eq!(forwarded(&[port(Some("127.0.0.1"), Transport::Udp)]), ["-t", "none", "-u", "127.0.0.1/8080:80"]);
    }

    #[test]
    fn its_last_words_say_why() {
        assert_eq!(explained("Failed to send 3 bytes to syslog\nNo routable interface\n\n"), "No routable interface");
        assert!(explained("Failed to open tun socket in namespace").contains("0666"));
        assert_eq!(explained(""), "it has ended without a word");
    }

    #[test]
    fn what_others_may_write_is_not_run() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pasta");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(open(&path), Err(Error::Foreign { .. })));
    }
}
