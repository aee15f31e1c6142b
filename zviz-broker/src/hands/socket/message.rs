//! One message, sent in the caller's place.

use crate::decision::{BROKEN_PIPE, Work};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeVal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::socket;

pub(super) struct Message<'w> {
    /// None for the peer of a connection.
    pub address: Option<Vec<u8>>,
    data: &'w [u8],
    /// There were more data than are copied.
    more: bool,
    control: Vec<u8>,
    flags: i32,
}

impl<'w> Message<'w> {
    /// `passed` are the descriptors that go with it.
    pub(super) fn new(work: &'w Work, passed: &[OwnedFd]) -> Result<Self, Errno> {
        let [address, _, data, control] = &work.texts;
        let [flags, more, ..] = work.numbers;
        let mut control = control.clone().unwrap_or_default();
        let fds: Vec<u8> = passed.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
        if !fds.is_empty() {
            // `struct cmsghdr`, whose length is a long.
            control.extend((size_of::<libc::cmsghdr>() + fds.len()).to_ne_bytes());
            control.extend([libc::SOL_SOCKET.to_ne_bytes(), libc::SCM_RIGHTS.to_ne_bytes()].concat());
            control.extend(fds);
        }
        Ok(Message {
            address: address.clone(),
            data: data.as_deref().unwrap_or_default(),
            more: more != 0,
            control,
            flags: i32::from_ne_bytes(u32::try_from(flags).map_err(|_| Errno::EINVAL)?.to_ne_bytes()),
        })
    }

    /// Sends it; how many bytes went. `text` is told where a signal would have come with the failure.
    ///
    /// # Errors
    /// EMSGSIZE where it was cut and the socket takes it whole or not at all; else as sendmsg(2).
    pub(super) fn send(&self, socket: BorrowedFd<'_>, text: &mut Vec<u8>) -> Result<i64, Errno> {
        let stream = socket::kind(socket)? == libc::SOCK_STREAM;
        if self.more && !stream {
            return Err(Errno::EMSGSIZE);
        }
        // With MSG_FASTOPEN it connects, which goes on by itself if this process ends.
        let sent = if stream && self.flags & libc::MSG_FASTOPEN == 0 {
            self.stream(socket)
        } else {
            self.at_once(socket, self.flags)
        };
        if stream && sent == Err(Errno::EPIPE) && self.flags & libc::MSG_NOSIGNAL == 0 {
            *text = BROKEN_PIPE.to_vec();
        }
        i64::try_from(sent?).map_err(|_| Errno::EMSGSIZE)
    }

    fn at_once(&self, socket: BorrowedFd<'_>, flags: i32) -> Result<usize, Errno> {
        socket::send(socket, self.address.as_deref(), self.data, &self.control, flags)
    }

    /// Never in the middle of it for long: this process may be ended with its caller, and nobody would know what has gone.
    fn stream(&self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let begun = Instant::now();
        loop {
            let sent = self.at_once(socket, self.flags | libc::MSG_DONTWAIT);
            if sent != Err(Errno::EAGAIN) || self.flags & libc::MSG_DONTWAIT != 0 || !socket::waits(socket)? {
                return sent;
            }
            let limit = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::SendTimeout)?;
            let left = match duration(limit) {
                Duration::ZERO => None,
                limit => Some(limit.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()).ok_or(Errno::EAGAIN)?),
            };
            let timeout = left.map_or(Ok(PollTimeout::NONE), |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).map_err(|_| Errno::EDOM)
            })?;
            poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], timeout)?;
        }
    }
}

fn duration(value: TimeVal) -> Duration {
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Duration::from_secs(part(value.tv_sec())) + Duration::from_micros(part(value.tv_usec()))
}
