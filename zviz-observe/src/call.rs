//! A system call that ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use zviz_seccomp::{Arch, name_of};

/// A system call that ended, and what it named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The process that made it, in the runtime's pid namespace.
    pub pid: i32,
    /// What it was running: `/proc/PID/exe`. For an execve, the program that called it.
    pub program: PathBuf,
    /// AUDIT_ARCH_*, linux/audit.h.
    pub arch: u32,
    /// Its number, on that architecture.
    pub number: u64,
    /// What was passed in registers.
    pub args: [u64; 6],
    /// The value, or a negated errno; or [`Call::UNFINISHED`], [`Call::KILLED`].
    pub result: i64,
    /// The paths among its arguments, in their order; or the open file that was among them, if that is why it failed: for want
    /// of room, or since nothing is executed there. After those of an execve that succeeded comes the program that runs now
    /// if it is another one: a script's interpreter. Of the very first execve, init's, the arguments cannot be read where an
    /// ordinary user traces; the program is told.
    pub paths: Vec<Named>,
    /// The socket address among its arguments.
    pub address: Option<SocketAddress>,
}

impl Call {
    /// It never came back: exit(2), or its caller was killed meanwhile.
    pub const UNFINISHED: i64 = i64::MIN;
    /// Its caller was ended in it by SIGSYS, as a seccomp filter does.
    pub const KILLED: i64 = i64::MIN + 1;

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        name_of(u32::try_from(self.number).ok()?, arch_of(self.arch, self.number)?)
    }

    /// Its error, if it failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        // MAX_ERRNO, linux/err.h.
        (-4095..0).contains(&self.result).then(|| i32::try_from(-self.result).ok()).flatten()
    }
}

/// The architecture of a call.
pub(crate) fn arch_of(audit: u32, number: u64) -> Option<Arch> {
    let x32 = number & u64::from(zviz_seccomp::X32_BIT) != 0;
    Arch::all().find(|arch| arch.audit() == audit && (*arch == Arch::X32) == (x32 && audit == Arch::X32.audit()))
}

/// A path that a call named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Absolute, inside the sandbox; without symbolic links as far as that could be told without waiting for a file system,
    /// and without following the last one if the call does not.
    pub path: PathBuf,
    /// As the program wrote it; empty for an open file.
    pub text: Vec<u8>,
    /// What for.
    pub intent: Intent,
}

/// What a call was to do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Intent {
    /// To read what is in a file.
    Read,
    /// To write what is in a file.
    Write,
    /// Both.
    ReadWrite,
    /// To execute it.
    Execute,
    /// To make it, or to open it, made if it was not there; also a new name of something.
    Create,
    /// To take the name away.
    Remove,
    /// To list a folder.
    List,
    /// To see whether and what it is.
    Metadata,
    /// To change its mode, owner, times or attributes.
    Change,
    /// To make it the working folder or the root.
    Enter,
    /// To mount there, or to unmount what is.
    Mount,
}

impl Intent {
    pub(crate) const ALL: [Intent; 11] = [
        Intent::Read,
        Intent::Write,
        Intent::ReadWrite,
        Intent::Execute,
        Intent::Create,
        Intent::Remove,
        Intent::List,
        Intent::Metadata,
        Intent::Change,
        Intent::Enter,
        Intent::Mount,
    ];

    /// Whether the call would change something at that path.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Intent::Write | Intent::ReadWrite | Intent::Create | Intent::Remove | Intent::Change)
    }
}

/// An address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// Of IPv4 or IPv6.
    Inet(SocketAddr),
    /// A Unix socket's path, absolute inside the sandbox.
    UnixPath(PathBuf),
    /// A Unix socket without a path; without its leading zero.
    UnixAbstract(Vec<u8>),
    /// Of another family: its number, `AF_*`.
    Other(u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_name_and_an_errno() {
        let mut call = Call {
            pid: 1,
            program: PathBuf::new(),
            arch: Arch::native().audit(),
            number: zviz_seccomp::number_of("openat", Arch::native()).expect("a number").into(),
            args: [0; 6],
            result: -13,
            paths: Vec::new(),
            address: None,
        };
        assert_eq!(call.name().as_deref(), Some("openat"));
        assert_eq!(call.errno(), Some(libc::EACCES));
        call.result = Call::UNFINISHED;
        assert_eq!(call.errno(), None);
    }
}
