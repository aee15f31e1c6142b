//! Which descriptors the payload gets beyond the standard streams: those of socket activation (sd_listen_fds(3)), then
//! `--preserve-fds N`, in one run from 3 on. All others are closed (CVE-2024-21626).

use std::ops::Range;

/// The first descriptor after the standard streams: SD_LISTEN_FDS_START.
const FIRST: u32 = 3;
/// The most that can be open: fs.nr_open is at most this.
const MOST: u32 = 1 << 30;

/// A decision about descriptors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptors {
    listening: u32,
    preserved: u32,
}

/// A descriptor that is to be passed on and was not passed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than there can be.
    #[error("--preserve-fds {0}: there are not so many descriptors")]
    TooMany(u32),
    /// It is closed, or one of our own.
    #[error("descriptor {fd} ({place}) was not passed to zviz")]
    Missing {
        /// Its number.
        fd: u32,
        /// What asks for it.
        place: String,
    },
}

impl Descriptors {
    /// Decides. `listen` holds the values of LISTEN_PID and LISTEN_FDS, which count only if the former is `pid`, this
    /// process (else they were meant for another); none for `exec`. `preserve` is `--preserve-fds`.
    ///
    /// # Errors
    /// `TooMany`.
    pub fn decide(listen: Option<(&str, &str)>, pid: u32, preserve: u32) -> Result<Self, Error> {
        let listening = listen
            .filter(|(for_pid, _)| for_pid.parse() == Ok(pid))
            .and_then(|(_, count)| count.parse().ok())
            .unwrap_or(0);
        match (FIRST.checked_add(listening)).and_then(|n| n.checked_add(preserve)) {
            Some(end) if end <= MOST => Ok(Descriptors { listening, preserved: preserve }),
            _ => Err(Error::TooMany(preserve)),
        }
    }

    /// The numbers that survive exec.
    #[must_use]
    pub fn kept(self) -> Range<u32> {
        FIRST..FIRST + self.listening + self.preserved
    }

    /// How many they are.
    #[must_use]
    pub fn count(self) -> u32 {
        self.listening + self.preserved
    }

    /// What socket activation adds to the payload's environment: the payload is process 1 of its pid namespace.
    #[must_use]
    pub fn environment(self) -> Vec<String> {
        match self.listening {
            0 => Vec::new(),
            n => vec![format!("LISTEN_FDS={n}"), "LISTEN_PID=1".into()],
        }
    }

    /// Whether each of them was passed to this process. What it inherited cannot be marked close-on-exec, and all that it
    /// opened itself is: so none of its own is handed out by a count that is too high.
    ///
    /// # Errors
    /// `Missing`.
    pub fn check(self) -> Result<(), Error> {
        for (index, fd) in self.kept().enumerate() {
            if !was_inherited(fd) {
                let listening = self.listening as usize;
                let place = match index.checked_sub(listening) {
                    None => format!("LISTEN_FDS, {} of {listening}", index + 1),
                    Some(index) => format!("--preserve-fds, {} of {}", index + 1, self.preserved),
                };
                return Err(Error::Missing { fd, place });
            }
        }
        Ok(())
    }
}

/// proc_pid_fdinfo(5): `flags` are octal, and hold O_CLOEXEC.
fn was_inherited(fd: u32) -> bool {
    let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else { return false };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_CLOEXEC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ones_come_first_and_only_for_this_process() {
        for (listen, preserve, kept, environment) in [
            (None, 0, 3..3, vec![]),
            (None, 2, 3..5, vec![]),
            (Some(("7", "2")), 0, 3..5, vec!["LISTEN_FDS=2", "LISTEN_PID=1"]),
            (Some(("7", "2")), 3, 3..8, vec!["LISTEN_FDS=2", "LISTEN_PID=1"]),
            (Some(("8", "2")), 1, 3..4, vec![]),
            (Some(("7", "-1")), 0, 3..3, vec![]),
            (Some(("7", "many")), 0, 3..3, vec![]),
            (Some(("", "2")), 0, 3..3, vec![]),
        ] {
            let decided = Descriptors::decide(listen, 7, preserve).unwrap();
            assert_eq!(
                (decided.kept(), decided.environment()),
                (kept, environment.iter().map(|s| (*s).into()).collect())
            );
        }
        assert_eq!(Descriptors::decide(None, 7, u32::MAX), Err(Error::TooMany(u32::MAX)));
        assert_eq!(Descriptors::decide(Some(("7", "4294967295")), 7, 1), Err(Error::TooMany(1)));
    }

    #[test]
    fn nothing_of_our_own_is_handed_out() {
        let own = std::fs::File::open("/proc/self/status").unwrap();
        assert!(!was_inherited(std::os::fd::AsRawFd::as_raw_fd(&own).try_into().unwrap()));
        assert!(was_inherited(0));
        assert!(!was_inherited(MOST - 1));
        let missing = Descriptors { listening: 0, preserved: 100_000 }.check().unwrap_err().to_string();
        assert!(missing.contains(" of 100000) was not passed to zviz"), "{missing}");
    }
}
