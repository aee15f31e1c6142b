//! The container's first process, known by pid and start time.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// A process that a reused pid is not taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// In the runtime's pid namespace.
    pub pid: i32,
    /// Clock ticks after boot: field 22 of /proc/PID/stat. proc_pid_stat(5).
    pub started: u64,
}

/// What /proc says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    /// `R`, `S`, ..., `Z`, `X`.
    state: u8,
    started: u64,
}

impl Init {
    /// The process that has this pid now; none if there is no such process.
    ///
    /// # Errors
    /// If it cannot be looked at: it may be there or not.
    pub fn read(pid: i32) -> io::Result<Option<Self>> {
        Ok(stat(pid)?.map(|stat| Self { pid, started: stat.started }))
    }

    /// A descriptor of the process, if it is alive. A signal through it cannot reach another one.
    ///
    /// # Errors
    /// EMFILE and the like: it may be alive or not.
    pub fn open(self) -> Result<Option<OwnedFd>, Errno> {
        let pidfd = match zviz_sys::process::pidfd_open(self.pid) {
            Err(Errno::ESRCH) => return Ok(None),
            other => other?,
        };
        // Looked at after it was opened: from here on the pid cannot be reused without our seeing it.
        Ok(self.alive().then_some(pidfd))
    }

    /// Whether it runs still: it exists, is the same process, and is no zombie. What cannot be found out counts as alive:
    /// nothing is taken away from a process that may be there.
    pub fn alive(self) -> bool {
        match stat(self.pid) {
            Ok(stat) => stat.is_some_and(|stat| stat.started == self.started && !matches!(stat.state, b'Z' | b'X')),
            Err(_) => true,
        }
    }
}

fn stat(pid: i32) -> io::Result<Option<Stat>> {
    if pid <= 0 {
        return Ok(None);
    }
    // One read is enough: the file is at most 52 numbers and a 16-byte name.
    let mut text = [0; 2048];
    match File::open(format!("/proc/{pid}/stat")).and_then(|file| read_once(&file, &mut text)) {
        Ok(length) => Ok(text.get(..length).and_then(parse)),
        // ESRCH: it went between the two calls.
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Again after a signal.
fn read_once(mut file: &File, text: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(text) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The name, field 2, is in parentheses and may hold spaces and parentheses itself: fields count from the last `)`.
fn parse(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|&b| b == b')')?;
    let mut fields = std::str::from_utf8(text.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_fields() {
        let line =
            b"7 (a) R 1 (b) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 4242 10000 100 18446744073709551615\n";
        assert_eq!(parse(line), Some(Stat { state: b'S', started: 4242 }));
        assert_eq!(parse(b"7 (a"), None);
        assert_eq!(parse(b"7 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_lives_and_its_twin_with_another_start_does_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = Init::read(pid).unwrap().unwrap();
        assert!(me.alive());
        assert!(!Init { started: me.started + 1, ..me }.alive());
        assert_eq!(Init::read(0).unwrap(), None);
        assert_eq!(Init::read(i32::MAX).unwrap(), None);
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let init = Init::read(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while init.alive() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(Init::read(init.pid).unwrap().is_some(), "it is still there, unreaped");
        child.wait().unwrap();
        assert_eq!(Init::read(init.pid).unwrap(), None);
    }
}
