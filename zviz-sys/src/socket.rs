//! Sockets with addresses as bytes, as another process gave them: no family is known here, and the kernel says what each
//! means. connect(2), bind(2), sendmsg(2).

use crate::{Errno, Result, ret};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest address that the kernel takes: `struct sockaddr_storage`.
pub const ADDRESS_MAX: usize = 128;

/// Connects; not again after a signal, which would be told that it is under way. connect(2).
///
/// # Errors
/// As connect(2); EINVAL for more than `ADDRESS_MAX` bytes.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let length = length(address)?;
    // SAFETY: the pointer and the length are of one slice, which the kernel copies whatever family it names.
    ret(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) }.into()).map(drop)
}

/// Gives a socket its own address. bind(2).
///
/// # Errors
/// As bind(2); EINVAL for more than `ADDRESS_MAX` bytes.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let length = length(address)?;
    // SAFETY: as for connect.
    ret(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) }.into()).map(drop)
}

/// Sends one message, without SIGPIPE: to `address` if there is one, with `control` laid out as cmsg(3) has it. Returns how
/// many bytes went. sendmsg(2).
///
/// # Errors
/// As sendmsg(2); EINVAL for more than `ADDRESS_MAX` bytes of address.
pub fn send(socket: BorrowedFd<'_>, address: Option<&[u8]>, data: &[u8], control: &[u8], flags: i32) -> Result<usize> {
    let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    if let Some(address) = address {
        message.msg_name = address.as_ptr().cast_mut().cast();
        message.msg_namelen = length(address)?;
    }
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_ptr().cast_mut().cast();
        message.msg_controllen = control.len() as _;
    }
    // SAFETY: the message points to slices that are alive and as long as it says, which sendmsg only reads.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags | libc::MSG_NOSIGNAL) };
    usize::try_from(ret(sent as libc::c_long)?).map_err(|_| Errno::EIO)
}

/// SOCK_STREAM, SOCK_DGRAM and so on. getsockopt(2) SO_TYPE.
///
/// # Errors
/// ENOTSOCK.
pub fn kind(socket: BorrowedFd<'_>) -> Result<i32> {
    let mut kind = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    let option = libc::SO_TYPE;
    // SAFETY: the option is an int, and the length is that of one.
    ret(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw mut kind).cast(), &raw mut length)
    }
    .into())?;
    Ok(kind)
}

/// Whether calls on it wait: O_NONBLOCK is not set. fcntl(2) F_GETFL.
///
/// # Errors
/// None that a descriptor could give that is open.
pub fn waits(socket: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: F_GETFL takes no argument.
    Ok(ret(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) }.into())? & libc::c_long::from(libc::O_NONBLOCK)
        == 0)
}

fn length(address: &[u8]) -> Result<libc::socklen_t> {
    match libc::socklen_t::try_from(address.len()) {
        Ok(length) if address.len() <= ADDRESS_MAX => Ok(length),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn a_datagram_arrives_by_the_bytes_of_an_address() {
        let (here, there) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let port = there.local_addr().unwrap().port().to_be_bytes();
        let mut address = [0u8; 16];
        address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        address[2..8].copy_from_slice(&[port[0], port[1], 127, 0, 0, 1]);
        assert_eq!(send(here.as_fd(), Some(&address), b"four", &[], 0), Ok(4));
        connect(here.as_fd(), &address).unwrap();
        assert_eq!(send(here.as_fd(), None, b"", &[], 0), Ok(0));
        let mut buffer = [0u8; 8];
        assert_eq!(there.recv(&mut buffer).unwrap(), 4);
        assert_eq!(there.recv(&mut buffer).unwrap(), 0);
        assert_eq!(kind(here.as_fd()), Ok(libc::SOCK_DGRAM));
        assert_eq!(bind(here.as_fd(), &[0; 129]), Err(Errno::EINVAL));
        assert_eq!(connect(std::io::stdin().as_fd(), &[0; 129]), Err(Errno::EINVAL));
    }
}
