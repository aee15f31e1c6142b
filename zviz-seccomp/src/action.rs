//! What a filter answers, by its OCI name and as the kernel's return value.

use serde::{Deserialize, Serialize};

/// The answer to one system call. seccomp(2), "filter return values".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The whole process ends with SIGSYS.
    KillProcess,
    /// The calling thread ends with SIGSYS.
    KillThread,
    /// The thread gets SIGSYS, which it can handle.
    Trap,
    /// The call is not made and fails with this errno.
    Errno(u16),
    /// The supervisor on the listener decides.
    Notify,
    /// A ptrace tracer decides, and gets this number; without one the call fails with ENOSYS.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

const NAMES: &[(&str, Action)] = &[
    ("SCMP_ACT_KILL", Action::KillThread),
    ("SCMP_ACT_KILL_THREAD", Action::KillThread),
    ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
    ("SCMP_ACT_TRAP", Action::Trap),
    ("SCMP_ACT_ERRNO", Action::Errno(libc::EPERM as u16)),
    ("SCMP_ACT_TRACE", Action::Trace(libc::EPERM as u16)),
    ("SCMP_ACT_ALLOW", Action::Allow),
    ("SCMP_ACT_LOG", Action::Log),
    ("SCMP_ACT_NOTIFY", Action::Notify),
];

// <linux/seccomp.h>: the action is the upper half, its data the lower.
const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_KILL_THREAD: u32 = 0x0000_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ACTION_FULL: u32 = 0xffff_0000;

impl Action {
    /// The action of an OCI name. `data` is the spec's `errnoRet`: the errno of ERRNO, the message of TRACE, EPERM when
    /// it is absent; other actions ignore it, as runc does. `None` for an unknown name.
    pub fn from_oci(name: &str, data: Option<u16>) -> Option<Action> {
        let (_, action) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(match (action, data) {
            (Action::Errno(_), Some(errno)) => Action::Errno(errno),
            (Action::Trace(_), Some(message)) => Action::Trace(message),
            (action, _) => *action,
        })
    }

    /// Every OCI name, for `features`.
    pub fn oci_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The kernel's return value, SECCOMP_RET_*.
    pub const fn to_raw(self) -> u32 {
        match self {
            Action::KillProcess => RET_KILL_PROCESS,
            Action::KillThread => RET_KILL_THREAD,
            Action::Trap => RET_TRAP,
            Action::Errno(errno) => RET_ERRNO | errno as u32,
            Action::Notify => RET_USER_NOTIF,
            Action::Trace(message) => RET_TRACE | message as u32,
            Action::Log => RET_LOG,
            Action::Allow => RET_ALLOW,
        }
    }

    /// What the kernel does with a return value; it kills the process for one that it does not know.
    pub const fn from_raw(value: u32) -> Action {
        let data = (value & !RET_ACTION_FULL) as u16;
        match value & RET_ACTION_FULL {
            RET_KILL_THREAD => Action::KillThread,
            RET_TRAP => Action::Trap,
            RET_ERRNO => Action::Errno(data),
            RET_USER_NOTIF => Action::Notify,
            RET_TRACE => Action::Trace(data),
            RET_LOG => Action::Log,
            RET_ALLOW => Action::Allow,
            _ => Action::KillProcess,
        }
    }

    /// The kernel's order of precedence: of two answers the one with the lower rank holds.
    pub const fn rank(self) -> u8 {
        match self {
            Action::KillProcess => 0,
            Action::KillThread => 1,
            Action::Trap => 2,
            Action::Errno(_) => 3,
            Action::Notify => 4,
            Action::Trace(_) => 5,
            Action::Log => 6,
            Action::Allow => 7,
        }
    }

    /// The stricter of two; the first where they are equally strict.
    pub fn stricter(self, other: Action) -> Action {
        if other.rank() < self.rank() { other } else { self }
    }

    /// Whether the call reaches the kernel or a tracer: then a system call of a future kernel should as well.
    pub(crate) const fn lets_through(self) -> bool {
        matches!(self, Action::Allow | Action::Log | Action::Trace(_))
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::KillProcess => f.write_str("kill_process"),
            Action::KillThread => f.write_str("kill_thread"),
            Action::Trap => f.write_str("trap"),
            Action::Errno(errno) => match nix::errno::Errno::from_raw(i32::from(*errno)) {
                nix::errno::Errno::UnknownErrno => write!(f, "errno {errno}"),
                known => write!(f, "errno {known:?}"),
            },
            Action::Notify => f.write_str("notify"),
            Action::Trace(message) => write!(f, "trace {message}"),
            Action::Log => f.write_str("log"),
            Action::Allow => f.write_str("allow"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_values_come_back() {
        for (_, action) in NAMES {
            assert_eq!(Action::from_raw(action.to_raw()), *action);
        }
        assert_eq!(Action::Errno(38).to_raw(), 0x0005_0026);
        assert_eq!(Action::from_raw(0x1234_0000), Action::KillProcess);
    }

    #[test]
    fn errno_defaults_to_eperm_and_kill_is_of_the_thread() {
        assert_eq!(Action::from_oci("SCMP_ACT_ERRNO", None), Some(Action::Errno(1)));
        assert_eq!(Action::from_oci("SCMP_ACT_ERRNO", Some(38)), Some(Action::Errno(38)));
        assert_eq!(Action::from_oci("SCMP_ACT_KILL", Some(7)), Some(Action::KillThread));
        assert_eq!(Action::from_oci("SCMP_ACT_NOPE", None), None);
    }

    #[test]
    fn the_kernels_order_is_kept() {
        assert_eq!(Action::Allow.stricter(Action::Errno(1)), Action::Errno(1));
        assert_eq!(Action::Errno(1).stricter(Action::Errno(2)), Action::Errno(1));
        assert_eq!(Action::KillProcess.stricter(Action::KillThread), Action::KillProcess);
    }
}
