//! What is to be done about a call.

use crate::held::RegistersOnly;
use nix::errno::Errno;
use std::borrow::Cow;

/// The answer to a call, or the way to it, and what speaks for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens next.
    pub step: Step,
    /// The rule that decided: a key of the policy.
    pub rule: Cow<'static, str>,
    /// The arguments as they were understood, for the audit.
    pub seen: Vec<(&'static str, Argument)>,
}

/// An argument as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Bytes of the caller's that name something.
    Path(Vec<u8>),
    /// A number, or flags.
    Number(u64),
    /// A word of the broker's own.
    Word(&'static str),
    /// The address of a socket, as the caller gave it.
    Address(Vec<u8>),
}

/// What happens next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The kernel does the call: only registers spoke for it.
    LetRun(RegistersOnly),
    /// The call fails.
    Refuse(Errno),
    /// A hand does the call with the caller's own identity.
    Do(Work),
    /// The host's numbers, cut to the container's limits, are written to this address.
    Sysinfo(u64),
    /// A hand sends one message; how many bytes went is written to this address, as 32 bits, and the call returns 1.
    Count(Work, u64),
    /// A hand asks for the names, some are replaced, and all are written to this address.
    Uname(u64),
}

/// A call for a hand: everything that memory said is copied here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Which.
    pub op: Op,
    /// Numbers of it, as `op` says.
    pub numbers: [u64; 4],
    /// Strings of it, as `op` says, without their terminators.
    pub texts: [Option<Vec<u8>>; 4],
    /// A descriptor of the caller's that it is about: a socket for `Connect`, `Bind` and `Send`, else the directory to stand in.
    pub descriptor: Option<i32>,
    /// Others: those that are sent to another process; for `Mount` the one that its source begins at.
    pub passed: Vec<i32>,
}

/// What a hand says beside EPIPE when a signal would have come with it.
pub const BROKEN_PIPE: &[u8] = b"SIGPIPE";

/// A umask that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// What a hand can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// mount(2): source, target, type, options; flags, and which of source and target begin at a descriptor.
    Mount,
    /// As `Mount`, of proc: by a process inside the caller's pid namespace.
    MountProc,
    /// umount2(2): none, target; flags, and whether the target begins at a descriptor.
    Unmount,
    /// pivot_root(2): new root, place for the old one.
    PivotRoot,
    /// mknodat(2) of a device that the caller's root has: path; mode, device number.
    Node,
    /// openat2(2), by the rules for files: path; flags, mode, resolve, calling thread.
    Open,
    /// renameat2(2), by the rules for files: old path, new path; flags, and which of them begin at a descriptor. The last
    /// number is the calling thread.
    Rename,
    /// linkat(2): as `Rename`.
    Link,
    /// symlinkat(2), by the rules for files: what it says, new path; 0, and the rest as `Rename`.
    Symlink,
    /// unlinkat(2), by the rules for files: none, path; flags, and the rest as `Rename`, as for the next three.
    Remove,
    /// mkdirat(2) or mknodat(2) of what is no device: none, path; mode with the type.
    Make,
    /// truncate(2): none, path; length.
    Truncate,
    /// fchmodat2(2): none, path; mode, and as the third number flags, or that it is of the descriptor.
    Chmod,
    /// uname(2).
    Uname,
    /// connect(2) of the descriptor: address; the path in it, if it has one. The last number is the calling thread, as for
    /// the next two.
    Connect,
    /// bind(2) of the descriptor: address; the path in it, if rules ask for it.
    Bind,
    /// sendmsg(2) on the descriptor, with those that are passed: address if there is one, the path in it if it has one, data,
    /// control messages; flags, and 1 if there were more data.
    Send,
    /// Whether the caller may have programs about devices, and change the cgroup of the descriptor if there is one: see
    /// `handlers::bpf`.
    Devices,
}

impl Decision {
    /// With nothing to tell about arguments.
    #[must_use]
    pub fn new(step: Step, rule: impl Into<Cow<'static, str>>) -> Self {
        Decision { step, rule: rule.into(), seen: Vec::new() }
    }

    /// The call fails.
    #[must_use]
    pub fn refuse(errno: Errno, rule: impl Into<Cow<'static, str>>) -> Self {
        Decision::new(Step::Refuse(errno), rule)
    }

    /// Told in the audit.
    #[must_use]
    pub fn seeing(mut self, seen: Vec<(&'static str, Argument)>) -> Self {
        self.seen = seen;
        self
    }
}

impl Op {
    const ALL: [Op; 18] = [
        Op::Mount,
        Op::MountProc,
        Op::Unmount,
        Op::PivotRoot,
        Op::Node,
        Op::Open,
        Op::Rename,
        Op::Link,
        Op::Symlink,
        Op::Remove,
        Op::Make,
        Op::Truncate,
        Op::Chmod,
        Op::Uname,
        Op::Connect,
        Op::Bind,
        Op::Send,
        Op::Devices,
    ];

    /// Whether it changes mounts.
    #[must_use]
    pub fn mounts(self) -> bool {
        matches!(self, Op::Mount | Op::MountProc | Op::Unmount)
    }

    /// Whether it gives names, or changes what has one other than by opening it.
    #[must_use]
    pub fn names(self) -> bool {
        let gives = matches!(self, Op::Rename | Op::Link | Op::Symlink);
        gives || matches!(self, Op::Remove | Op::Make | Op::Truncate | Op::Chmod)
    }

    /// Whether the descriptor is a socket, on which the call may wait for others.
    #[must_use]
    pub fn is_of_socket(self) -> bool {
        matches!(self, Op::Connect | Op::Bind | Op::Send)
    }

    fn number(self) -> u8 {
        // The table is short.
        Op::ALL.iter().position(|op| *op == self).unwrap_or_default() as u8
    }
}

impl Work {
    /// A call without any argument.
    #[must_use]
    pub fn new(op: Op) -> Self {
        Work { op, numbers: [0; 4], texts: [const { None }; 4], descriptor: None, passed: Vec::new() }
    }

    /// Whether it makes a file system: a mount with a type.
    #[must_use]
    pub fn makes_file_system(&self) -> bool {
        matches!(self.op, Op::Mount | Op::MountProc) && self.texts[2].is_some()
    }

    /// As one packet. Descriptors travel beside it.
    #[must_use]
    pub fn encode(&self, umask: u32) -> Vec<u8> {
        let mut packet = vec![self.op.number()];
        packet.extend_from_slice(&umask.to_le_bytes());
        for number in self.numbers {
            packet.extend_from_slice(&number.to_le_bytes());
        }
        for text in &self.texts {
            // No text is longer than a message's data, so one more than its length fits.
            let length = text.as_ref().map_or(0, |text| text.len() as u32 + 1);
            packet.extend_from_slice(&length.to_le_bytes());
            packet.extend_from_slice(text.as_deref().unwrap_or_default());
        }
        packet
    }

    /// The other way round, with the umask.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<(Work, u32)> {
        let mut rest = packet;
        let mut next = |length: usize| {
            let (now, later) = rest.split_at_checked(length)?;
            rest = later;
            Some(now)
        };
        let op = *Op::ALL.get(usize::from(*next(1)?.first()?))?;
        let umask = u32::from_le_bytes(next(4)?.try_into().ok()?);
        let mut work = Work::new(op);
        for number in &mut work.numbers {
            *number = u64::from_le_bytes(next(8)?.try_into().ok()?);
        }
        for text in &mut work.texts {
            let length = u32::from_le_bytes(next(4)?.try_into().ok()?);
            *text = match length.checked_sub(1) {
                None => None,
                Some(length) => Some(next(usize::try_from(length).ok()?)?.to_vec()),
            };
        }
        rest.is_empty().then_some((work, umask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_survives_its_way() {
        for op in Op::ALL {
            let mut work = Work::new(op);
            work.numbers = [1, u64::MAX, 0, 7];
            work.texts = [Some(b"/a".to_vec()), None, Some(Vec::new()), Some(vec![b'x'; 4096])];
            let packet = work.encode(0o22);
            assert_eq!(Work::decode(&packet), Some((work, 0o22)));
            assert_eq!(Work::decode(&packet[..packet.len() - 1]), None);
            assert_eq!(Work::decode(&[packet, vec![0]].concat()), None);
        }
        assert_eq!(Work::decode(&[]), None);
        assert_eq!(Work::decode(&[200; 64]), None);
    }
}
