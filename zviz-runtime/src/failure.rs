//! What init says when it cannot go on: a stage, an item of that stage, an errno. The parent, which still holds the
//! plan, finds the words.

use nix::errno::Errno;

/// The stages of init, in the order in which `child::enter` goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Talking to the parent.
    Sync = 1,
    /// Item: which of the joined namespaces.
    Join,
    /// Becoming root of the new user namespace.
    UserNamespace,
    /// A new cgroup or time namespace.
    Namespaces,
    /// The session and its keyring.
    Session,
    /// Bringing loopback up.
    Loopback,
    /// Item: which parameter.
    Sysctl,
    /// hostname (0) and domainname (1).
    Names,
    /// Propagation of the host's tree, as seen here.
    Propagation,
    /// The root's own mount.
    Rootfs,
    /// Item: which mount.
    Mount,
    /// Item: which device.
    Device,
    /// Item: which link.
    Symlink,
    /// Item: which masked path.
    Mask,
    /// Item: which read-only path.
    ReadonlyPath,
    /// Entering the new root.
    Pivot,
    /// Making the root, or a mount that waited for it, read-only.
    Readonly,
    /// The pseudo-terminal.
    Console,
    /// Item: which limit.
    Rlimit,
    /// Scheduler, I/O priority, CPU affinity, memory policy or personality, in this order.
    Scheduling,
    /// AppArmor (0) or SELinux (1).
    Label,
    /// Bounding (0), others (1), ambient (2).
    Capabilities,
    /// Groups (0), gid (1), uid (2).
    Credentials,
    /// no_new_privs.
    NoNewPrivs,
    /// Item: which rule; the ruleset itself comes after the last.
    Landlock,
    /// The working directory.
    WorkingDirectory,
    /// Finding the program.
    Program,
    /// Closing what must not be passed on.
    Descriptors,
    /// Loading the filter.
    Seccomp,
    /// Waiting for `start`.
    Fifo,
    /// execve.
    Exec,
    /// Making the payload's process below the reaper.
    Reaper,
    /// Item: which hierarchy of cgroup v1.
    Cgroup,
}

const STAGES: [Stage; 33] = [
    Stage::Sync,
    Stage::Join,
    Stage::UserNamespace,
    Stage::Namespaces,
    Stage::Session,
    Stage::Loopback,
    Stage::Sysctl,
    Stage::Names,
    Stage::Propagation,
    Stage::Rootfs,
    Stage::Mount,
    Stage::Device,
    Stage::Symlink,
    Stage::Mask,
    Stage::ReadonlyPath,
    Stage::Pivot,
    Stage::Readonly,
    Stage::Console,
    Stage::Rlimit,
    Stage::Scheduling,
    Stage::Label,
    Stage::Capabilities,
    Stage::Credentials,
    Stage::NoNewPrivs,
    Stage::Landlock,
    Stage::WorkingDirectory,
    Stage::Program,
    Stage::Descriptors,
    Stage::Seccomp,
    Stage::Fifo,
    Stage::Exec,
    Stage::Reaper,
    Stage::Cgroup,
];

/// Eight bytes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// At which item of the plan's list for that stage.
    pub item: u16,
    /// Why.
    pub errno: Errno,
}

impl Failure {
    /// As sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let item = self.item.to_le_bytes();
        let errno = (self.errno as i32).to_le_bytes();
        [self.stage as u8, 0, item[0], item[1], errno[0], errno[1], errno[2], errno[3]]
    }

    /// As received; none if the stage is unknown.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Failure> {
        let stage = *STAGES.get(usize::from(bytes[0]).checked_sub(1)?)?;
        let item = u16::from_le_bytes([bytes[2], bytes[3]]);
        let errno = Errno::from_raw(i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
        Some(Failure { stage, item, errno })
    }
}

/// Names the stage of an error.
pub(crate) fn at<T>(stage: Stage, result: Result<T, Errno>) -> Result<T, Failure> {
    result.map_err(|errno| Failure { stage, item: 0, errno })
}

/// Names the stage and the item of an error.
pub(crate) fn at_item<T>(stage: Stage, item: usize, result: Result<T, Errno>) -> Result<T, Failure> {
    result.map_err(|errno| Failure { stage, item: u16::try_from(item).unwrap_or(u16::MAX), errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_survives_the_wire() {
        for (i, stage) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, i + 1);
            let failure = Failure { stage: *stage, item: 513, errno: Errno::EPERM };
            assert_eq!(Failure::from_bytes(failure.to_bytes()), Some(failure));
        }
        assert_eq!(Failure::from_bytes([0; 8]), None);
        assert_eq!(Failure::from_bytes([200; 8]), None);
    }
}
