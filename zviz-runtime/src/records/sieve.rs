//! Whose a record is.

use super::{Access, Entry, Said, Stamp};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The most that are kept of one container.
pub const MOST: usize = 1000;
/// Denials of domains that nobody has told of yet: the telling comes right behind the first.
const WAITING: usize = 64;
/// Domains that one process can have made: the kernel's own bound (LANDLOCK_MAX_NUM_LAYERS), and room.
const DOMAINS: usize = 64;

/// A container, by what it does not choose itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// The pid of its init, which made its Landlock domain. In the machine's first pid namespace.
    pub init: i32,
    /// The AppArmor profile that it was given.
    pub apparmor: Option<String>,
    /// The SELinux label that it was given.
    pub selinux: Option<String>,
    /// Nothing earlier is its own, in milliseconds since the epoch: pids and labels come again.
    pub since: u64,
}

/// A denial of a container's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When.
    pub at: Stamp,
    /// What.
    pub access: Access,
    /// Who asked, where that is told.
    pub pid: Option<i32>,
    /// Its architecture and number, where it is told.
    pub call: Option<(u32, u64)>,
    /// What it was running; empty where that is not told.
    pub program: PathBuf,
}

/// What was recorded of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which it came.
    pub denials: Vec<Recorded>,
    /// How many more there were.
    pub left_out: u64,
}

/// Keeps what is one container's.
#[derive(Debug, Default)]
pub struct Sieve {
    whose: Whose,
    // Those that its init has made, and by it a stranger's that came later.
    domains: Vec<u64>,
    waiting: VecDeque<Recorded>,
    kept: Kept,
}

impl Sieve {
    /// For one container.
    #[must_use]
    pub fn new(whose: Whose) -> Sieve {
        Sieve { whose, ..Sieve::default() }
    }

    /// Takes the next record.
    pub fn take(&mut self, entry: Entry) {
        let Entry { at, said } = entry;
        if at.milliseconds < self.whose.since {
            return;
        }
        match said {
            Said::Denied(access) => self.denied(at, access),
            Said::Domain { domain, pid } => self.domain(domain, pid),
            Said::Call { pid, arch, number, program } => {
                let all = self.kept.denials.iter_mut().rev().take(WAITING).chain(&mut self.waiting);
                for recorded in all.filter(|recorded| recorded.at.serial == at.serial) {
                    recorded.pid = Some(pid);
                    recorded.call = Some((arch, number));
                    recorded.program.clone_from(&program);
                }
            }
        }
    }

    fn denied(&mut self, at: Stamp, access: Access) {
        let (pid, is_ours) = match &access {
            Access::Landlock { domain, .. } => (None, self.domains.contains(domain)),
            Access::AppArmor { profile, pid, .. } => {
                let is_ours = self.whose.apparmor.as_ref().is_some_and(|own| is_of(profile, own));
                (Some(*pid), is_ours)
            }
            Access::Selinux { source, pid, .. } => (Some(*pid), self.whose.selinux.as_ref() == Some(source)),
            Access::Seccomp { pid, label, .. } => {
                let apparmor = self.whose.apparmor.as_ref().zip(label.as_ref()).is_some_and(|(own, of)| is_of(of, own));
                let selinux = label.is_some() && self.whose.selinux == *label;
                (Some(*pid), apparmor || selinux || *pid == self.whose.init && *pid > 0)
            }
        };
        let is_domain = matches!(access, Access::Landlock { .. });
        let (call, program) = match &access {
            Access::Seccomp { arch, number, program, .. } => (Some((*arch, *number)), program.clone()),
            _ => (None, PathBuf::new()),
        };
        let recorded = Recorded { at, access, pid, call, program };
        if is_ours {
            self.keep(recorded);
        } else if is_domain {
            if self.waiting.len() == WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back(recorded);
        }
    }

    fn domain(&mut self, domain: u64, pid: i32) {
        let is_of =
            |recorded: &Recorded| matches!(recorded.access, Access::Landlock { domain: of, .. } if of == domain);
        let (theirs, others) = std::mem::take(&mut self.waiting).into_iter().partition(is_of);
        self.waiting = others;
        if pid != self.whose.init || self.domains.len() == DOMAINS {
            return;
        }
        self.domains.push(domain);
        let theirs: VecDeque<Recorded> = theirs;
        theirs.into_iter().for_each(|recorded| self.keep(recorded));
    }

    fn keep(&mut self, recorded: Recorded) {
        match self.kept.denials.len() {
            MOST => self.kept.left_out = self.kept.left_out.saturating_add(1),
            _ => self.kept.denials.push(recorded),
        }
    }

    /// What there was. Numbers of domains grow, and a container's own is made before anything runs in it: of those that its first
    /// process has made, the others are the payload's, and what they deny it denies itself.
    #[must_use]
    pub fn end(mut self) -> Kept {
        let own = self.domains.iter().min().copied();
        self.kept
            .denials
            .retain(|recorded| !matches!(recorded.access, Access::Landlock { domain, .. } if Some(domain) != own));
        self.kept
    }
}

/// Whether a profile is one, or below it (`zviz-1//child`), or both in force (`zviz-1//&other`).
fn is_of(profile: &str, own: &str) -> bool {
    profile.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_seccomp::Action;

    fn entry(serial: u64, said: Said) -> Entry {
        Entry { at: Stamp { milliseconds: 1000 + serial, serial }, said }
    }

    fn landlock(serial: u64, domain: u64) -> Entry {
        let blockers = vec!["fs.write_file".to_owned()];
        entry(
            serial,
            Said::Denied(Access::Landlock { domain, blockers, path: Some(b"/a".into()), port: None, address: None }),
        )
    }

    fn apparmor(serial: u64, profile: &str) -> Entry {
        let (operation, mask) = ("open".to_owned(), "w".to_owned());
        let profile = profile.to_owned();
        entry(
            serial,
            Said::Denied(Access::AppArmor {
                profile,
                pid: 9,
                comm: Vec::new(),
                operation,
                mask,
                name: None,
                kind: None,
            }),
        )
    }

    fn whose() -> Whose {
        Whose { init: 7, apparmor: Some("zviz-1".into()), selinux: None, since: 1000 }
    }

    fn sieved(entries: Vec<Entry>) -> Kept {
        let mut sieve = Sieve::new(whose());
        entries.into_iter().for_each(|entry| sieve.take(entry));
        sieve.end()
    }

    #[test]
    fn a_domain_is_whose_process_made_it() {
        let kept = sieved(vec![
            landlock(1, 0x10),
            landlock(2, 0x20),
            entry(1, Said::Domain { domain: 0x10, pid: 7 }),
            entry(2, Said::Domain { domain: 0x20, pid: 8 }),
            entry(1, Said::Call { pid: 12, arch: 3, number: 4, program: "/bin/x".into() }),
            landlock(3, 0x10),
            landlock(4, 0x20),
            landlock(5, 0x30),
        ]);
        let serials: Vec<u64> = kept.denials.iter().map(|recorded| recorded.at.serial).collect();
        assert_eq!(serials, [1, 3]);
        assert_eq!((kept.denials[0].pid, kept.denials[0].call), (Some(12), Some((3, 4))));
        assert_eq!(kept.denials[1].pid, None);
    }

    #[test]
    fn what_a_payload_forbids_itself_is_not_told() {
        // The payload has the pid of init, and told of first.
        let kept = sieved(vec![
            landlock(1, 0x90),
            entry(1, Said::Domain { domain: 0x90, pid: 7 }),
            landlock(2, 0x10),
            entry(2, Said::Domain { domain: 0x10, pid: 7 }),
            landlock(3, 0x90),
        ]);
        assert_eq!(kept.denials.iter().map(|recorded| recorded.at.serial).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn labels_are_whole_words_and_what_was_before_is_anothers() {
        let mut early = apparmor(1, "zviz-1");
        early.at.milliseconds = 999;
        let profiles = ["zviz-1", "zviz-12", "unconfined", "zviz-1//inner", "zviz-"];
        let mut entries: Vec<Entry> =
            profiles.iter().enumerate().map(|(at, name)| apparmor(at as u64 + 2, name)).collect();
        entries.push(early);
        let kept = sieved(entries);
        assert_eq!(kept.denials.iter().map(|recorded| recorded.at.serial).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn a_flood_is_a_few_and_a_number() {
        let entries = (0..5000).map(|serial| apparmor(serial, "zviz-1")).collect();
        let kept = sieved(entries);
        assert_eq!((kept.denials.len(), kept.left_out), (MOST, 5000 - MOST as u64));
        // Of domains that nobody tells of nothing is kept, however many there are.
        let mut sieve = Sieve::new(whose());
        (0..5000).for_each(|serial| sieve.take(landlock(serial, serial)));
        assert_eq!(sieve.waiting.len(), WAITING);
        assert_eq!(sieve.end(), Kept::default());
    }

    fn killed(serial: u64, pid: i32, label: Option<&str>) -> Entry {
        let label = label.map(str::to_owned);
        let (comm, program, action) = (Vec::new(), "/bin/x".into(), Action::KillProcess);
        entry(serial, Said::Denied(Access::Seccomp { pid, comm, program, label, arch: 3, number: 4, action }))
    }

    #[test]
    fn who_was_killed_is_known_by_pid_or_label() {
        let entries = vec![
            killed(1, 7, None),
            killed(2, 8, None),
            killed(3, 9, Some("zviz-1")),
            killed(4, 9, Some("zviz-12")),
            killed(5, 0, Some("unconfined")),
        ];
        let kept = sieved(entries.clone());
        assert_eq!(kept.denials.iter().map(|recorded| recorded.at.serial).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((kept.denials[0].call, kept.denials[0].program.to_str()), (Some((3, 4)), Some("/bin/x")));
        // Who has neither is nobody's.
        let mut sieve = Sieve::new(Whose::default());
        entries.into_iter().for_each(|entry| sieve.take(entry));
        assert_eq!(sieve.end(), Kept::default());
    }
}
