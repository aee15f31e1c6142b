//! Bytes over a Unix socket with descriptors beside them (SCM_RIGHTS), without allocating. unix(7), cmsg(3).

use crate::{Errno, Result, fd, owned, path, ret};
use std::ffi::CString;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The most descriptors that one message is taken with; what a peer sends beyond them is closed by the kernel.
pub const MOST: usize = 32;

/// One SCM_RIGHTS control message, as cmsg(3) lays it out: the header is as aligned as the data need.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    fds: [RawFd; MOST],
}

/// Sends bytes with one descriptor, in one message. On a stream fewer bytes than asked for may go; the descriptor goes
/// with the first of them. sendmsg(2), without SIGPIPE, again after a signal.
///
/// # Errors
/// EINVAL for no bytes at all: the descriptor would not be delivered.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<usize> {
    send_with(socket, bytes, &[fd])
}

/// As `send`, with up to `MOST` descriptors, or none.
///
/// # Errors
/// As `send`; EINVAL for more descriptors.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    if bytes.is_empty() || fds.len() > MOST {
        return Err(Errno::EINVAL);
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: both are plain C structures, for which all zeroes is a value.
    let (mut message, mut control): (libc::msghdr, Control) = unsafe { (zeroed(), zeroed()) };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        // SAFETY: CMSG_LEN only computes; at most `MOST` descriptors fit an unsigned int.
        let length = unsafe { libc::CMSG_LEN((size_of::<RawFd>() * fds.len()) as u32) };
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        control.header.cmsg_len = length as _;
        for (place, fd) in control.fds.iter_mut().zip(fds) {
            *place = fd.as_raw_fd();
        }
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = length as _;
    }
    loop {
        // SAFETY: the message points to one part and at most one control message, both alive and not larger than said.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match ret(sent as libc::c_long) {
            Err(Errno::EINTR) => {}
            other => return usize::try_from(other?).map_err(|_| Errno::EIO),
        }
    }
}

/// Sends all bytes, in as many messages as the stream takes, with the descriptor in the first.
///
/// # Errors
/// As `send`; EPIPE if the peer has gone.
pub fn send_all(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    use nix::sys::socket::{MsgFlags, send as send_bytes};
    let mut sent = send(socket, bytes, fd)?;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match send_bytes(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            other => sent += other?,
        }
    }
    Ok(())
}

/// Connects to a stream socket by its path, which may be longer than the 107 bytes of an address. Allocates.
///
/// # Errors
/// ENOTSOCK if something else is at the path; EPROTOTYPE if the socket is of another type; those of open(2), connect(2).
pub fn connect(path: &Path) -> Result<UnixStream> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let socket = path::open_path(&name, 0)?;
    if fd::stat(&socket)?.st_mode & libc::S_IFMT != libc::S_IFSOCK {
        return Err(Errno::ENOTSOCK);
    }
    // By the descriptor: it is the file just seen, and its name is short.
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_fd().as_raw_fd()))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// What one recvmsg(2) gave.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer are filled; 0 is the end of the stream.
    pub bytes: usize,
    /// The descriptors, close-on-exec, in the order in which they were sent.
    pub fds: [Option<OwnedFd>; MOST],
    /// Whether the peer sent more bytes (of a packet) or more descriptors than there was room for.
    pub truncated: bool,
}

/// Receives bytes and up to `MOST` descriptors. recvmsg(2), again after a signal.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let bytes = loop {
        // SAFETY: the message points to one part and to room for control messages, both alive and as large as said.
        let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match ret(got as libc::c_long) {
            Err(Errno::EINTR) => {}
            other => break usize::try_from(other?).map_err(|_| Errno::EIO)?,
        }
    };
    let truncated = message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0;
    Ok(Received { bytes, fds: take(&message)?, truncated })
}

/// Takes every descriptor out of the control messages of a received message.
fn take(message: &libc::msghdr) -> Result<[Option<OwnedFd>; MOST]> {
    let mut fds = [const { None }; MOST];
    let mut places = fds.iter_mut();
    // SAFETY: the kernel has filled msg_control and set msg_controllen to what it filled.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header inside the buffer.
        let header = unsafe { &*next };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: CMSG_LEN only computes, and the data of a header begin right after it.
            let (empty, data) = unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_DATA(next).cast::<RawFd>()) };
            for i in 0..(header.cmsg_len as usize).saturating_sub(empty) / size_of::<RawFd>() {
                // SAFETY: i is below the number of descriptors that the length holds.
                let fd = owned(unsafe { data.add(i).read_unaligned() }.into())?;
                if let Some(place) = places.next() {
                    *place = Some(fd);
                }
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR, and `next` came from it.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    Ok(fds)
}
