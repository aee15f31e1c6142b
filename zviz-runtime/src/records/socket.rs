//! The kernel's own records as they are made: NETLINK_AUDIT's group for readers, audit_bind of kernel/audit.c. Nothing is asked
//! of the kernel, and no setting of it is changed.

use super::line::{self, Entry, LONGEST};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsRawFd, OwnedFd};

/// AUDIT_NLGRP_READLOG, linux/audit.h, as a bit.
const READERS: u32 = 1;
/// `struct nlmsghdr`, netlink(7): length and type are its first six bytes.
const HEADER: usize = 16;
/// How long the kernel's own thread may take to tell of what has happened, in milliseconds.
const QUIET: i64 = 50;
/// What waits for its reader: some thousands of records.
const BUFFER: usize = 4 << 20;

/// Who hears them.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Hears all from now on.
    ///
    /// # Errors
    /// EPERM without CAP_AUDIT_READ over the whole machine; EPROTONOSUPPORT where the kernel records nothing.
    pub fn open() -> Result<Socket, Errno> {
        let kernel = SockProtocol::NetlinkAudit;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, kernel)?;
        // Root can; for who cannot, the host's own limit does.
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &BUFFER);
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(QUIET))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, READERS))?;
        Ok(Socket(fd))
    }

    /// The next record that is of use.
    ///
    /// # Errors
    /// EAGAIN if none has come for a moment; ENOBUFS where some were lost.
    pub(super) fn next(&self) -> Result<Option<Entry>, Errno> {
        let mut buffer = [0; HEADER + LONGEST + 1];
        let (length, from) = received(&self.0, &mut buffer)?;
        // Who sends it is the kernel, or somebody who could be.
        let kernel = from.is_some_and(|from| from.pid() == 0);
        Ok(buffer.get(..length).filter(|_| kernel).and_then(message))
    }
}

fn received(fd: &OwnedFd, buffer: &mut [u8]) -> Result<(usize, Option<NetlinkAddr>), Errno> {
    loop {
        match recvfrom(fd.as_raw_fd(), buffer) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

/// The record in a message of netlink.
#[must_use]
pub(super) fn message(bytes: &[u8]) -> Option<Entry> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(HEADER..usize::try_from(length).ok()?.min(bytes.len()))?;
    if !line::is_of_use(kind.into()) {
        return None;
    }
    let text = std::str::from_utf8(payload).ok()?;
    line::read(kind.into(), text.trim_end_matches('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;

    #[test]
    fn messages_are_as_long_as_they_say_and_no_longer_than_they_are() {
        let text = b"audit(1.002:3): domain=1a status=allocated mode=enforcing pid=7 uid=0 exe=\"/z\" comm=\"z\"";
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&1424_u16.to_ne_bytes());
        bytes.extend_from_slice(text);
        let with = |length: usize| {
            let mut bytes = bytes.clone();
            bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
            message(&bytes)
        };
        let found = with(bytes.len()).unwrap();
        assert_eq!((found.at.milliseconds, found.at.serial), (1002, 3));
        assert_eq!(with(usize::from(u16::MAX)), Some(found));
        for length in [0, 4, HEADER - 1, HEADER, HEADER + 20] {
            assert_eq!(with(length), None, "{length}");
        }
        for cut in 0..HEADER {
            assert_eq!(message(&bytes[..cut]), None);
        }
    }

    #[test]
    fn who_may_not_hear_them_is_told() {
        match Socket::open() {
            Ok(socket) => {
                let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
                // Others may be denied something meanwhile.
                while socket.next() != Err(Errno::EAGAIN) && std::time::Instant::now() < end {}
                // It waits as it was told to once, and is not told again with each record.
                setsockopt(&socket.0, sockopt::ReceiveTimeout, &TimeVal::milliseconds(40)).unwrap();
                let _ = socket.next();
                assert_eq!(getsockopt(&socket.0, sockopt::ReceiveTimeout).unwrap(), TimeVal::milliseconds(40));
            }
            Err(errno) => {
                assert!(matches!(errno, Errno::EPERM | Errno::EPROTONOSUPPORT | Errno::ECONNREFUSED), "{errno}")
            }
        }
    }
}
