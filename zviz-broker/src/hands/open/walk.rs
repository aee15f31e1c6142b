//! Paths that go through proc's links, component by component: `/proc/self` is the caller, which the kernel cannot know of
//! a hand, and /proc/PID/fd/N leads wherever the descriptor does. Every step is the kernel's all the same, with the caller's
//! rights.

use super::create::PROC;
use super::{Call, Found, Opener};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// MAXSYMLINKS of the kernel.
const LINKS: usize = 40;
/// Components of a path and of the links in it.
const MOST: usize = 8192;
/// PROC_ROOT_INO of the kernel.
const ROOT: u64 = 1;

impl Opener<'_> {
    pub(super) fn walk(&self, call: &Call<'_>, path: &[u8], flags: i32) -> Result<Found, Errno> {
        let mut rest: Vec<Vec<u8>> = Vec::new();
        let directory = path.ends_with(b"/") || path.ends_with(b"/.") || flags & libc::O_DIRECTORY != 0;
        let nofollow = flags & libc::O_NOFOLLOW != 0 && !path.ends_with(b"/");
        let start = |path: &[u8]| {
            let name: &[u8] = if path.starts_with(b"/") { b"/" } else { b"." };
            at(nix::fcntl::AT_FDCWD, name, libc::O_DIRECTORY)
        };
        let mut found = Found { file: start(path)?, jumped: false };
        push(&mut rest, path)?;
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let last = rest.is_empty();
            let follow = !last || !nofollow;
            let kind = if last && !directory { 0 } else { libc::O_DIRECTORY };
            let here = found.file.as_fd();
            let in_proc = fd::filesystem_magic(here)? == PROC;
            if in_proc
                && fd::stat(here)?.st_ino == ROOT
                && let Some(path) = self.of_caller(call, &found.file, &name)?
            {
                links += 1;
                if !follow || links > LINKS {
                    return Err(Errno::ELOOP);
                }
                push(&mut rest, path.as_bytes())?;
                continue;
            }
            let errno = match at(here, &name, kind | if follow { 0 } else { libc::O_NOFOLLOW }) {
                Ok(file) => {
                    found.file = file;
                    continue;
                }
                Err(errno @ (Errno::ENOENT | Errno::ELOOP)) if follow => errno,
                Err(errno) => return Err(errno),
            };
            // The kernel was not kept from following it, but what is behind is not there for a hand.
            let link = at(here, &name, libc::O_NOFOLLOW)?;
            let stat = fd::stat(link.as_fd())?;
            links += 1;
            if stat.st_mode & libc::S_IFMT != libc::S_IFLNK || links > LINKS {
                return Err(errno);
            }
            if in_proc && errno == Errno::ELOOP {
                if call.resolve & resolve::NO_MAGICLINKS != 0 || stat.st_dev == self.host_proc {
                    return Err(errno);
                }
                let text = CString::new(name).map_err(|_| Errno::EINVAL)?;
                found = Found { file: path::openat2(here, &text, libc::O_PATH | kind, 0, 0)?, jumped: true };
                continue;
            }
            let mut buffer = [0u8; 4097];
            let text = path::readlinkat(link.as_fd(), c"", &mut buffer)?;
            if text.starts_with(b"/") {
                found.file = start(text)?;
            }
            push(&mut rest, text)?;
        }
        Ok(found)
    }

    /// What `self` and `thread-self` are for the caller, in the proc whose root this is.
    fn of_caller(&self, call: &Call<'_>, root: &OwnedFd, name: &[u8]) -> Result<Option<String>, Errno> {
        let mut buffer = [0u8; 32];
        let own = path::readlinkat(root.as_fd(), c"self", &mut buffer);
        if own.is_ok() {
            // It would show this process itself, which may open its own memory there.
            return Err(Errno::EACCES);
        }
        if !matches!(name, b"self" | b"thread-self") {
            return Ok(None);
        }
        let status = self.proc.text(call.thread, "status")?;
        let (processes, threads) = (numbers(&status, "NStgid"), numbers(&status, "NSpid"));
        // From the innermost pid namespace, which a proc usually shows, outwards.
        for level in (0..processes.len()).rev() {
            let (Some(process), Some(thread)) = (processes.get(level), threads.get(level)) else { continue };
            let seen = CString::new(format!("{process}/status")).map_err(|_| Errno::EINVAL)?;
            let seen = path::openat2(root.as_fd(), &seen, libc::O_RDONLY, 0, resolve::NO_MAGICLINKS)
                .and_then(|file| super::super::proc::read_all(&file));
            if seen.is_ok_and(|seen| Some(numbers(&seen, "NStgid").as_slice()) == processes.get(level..)) {
                let is_process = name == b"self";
                return Ok(Some(if is_process { process.clone() } else { format!("{process}/task/{thread}") }));
            }
        }
        Err(Errno::ENOENT)
    }
}

/// The numbers that a process has in its pid namespaces, the outermost that the reader sees first. proc_pid_status(5).
fn numbers(status: &str, field: &str) -> Vec<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

/// One component, not opened.
fn at(directory: std::os::fd::BorrowedFd<'_>, name: &[u8], flags: i32) -> Result<OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    path::openat2(directory, &name, libc::O_PATH | flags, 0, resolve::NO_MAGICLINKS)
}

/// The components of a path, to be taken from the end.
fn push(rest: &mut Vec<Vec<u8>>, path: &[u8]) -> Result<(), Errno> {
    let components = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let components: Vec<Vec<u8>> = components.map(<[u8]>::to_vec).collect();
    rest.extend(components.into_iter().rev());
    if rest.len() > MOST { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
}
