//! Descriptors over socket pairs.
#![allow(clippy::unwrap_used)] // a test may

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use zviz_sys::Errno;
use zviz_sys::rights::{MOST, receive, send};

#[test]
fn a_descriptor_arrives_open_and_close_on_exec() {
    let (left, right) = UnixStream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    assert_eq!(send(left.as_fd(), b"name", writer.as_fd()).unwrap(), 4);
    drop(writer);
    let mut buffer = [0; 16];
    let mut received = receive(right.as_fd(), &mut buffer).unwrap();
    assert_eq!((&buffer[..received.bytes], received.truncated), (&b"name"[..], false));
    let fd = received.fds[0].take().unwrap();
    let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    std::fs::File::from(fd).write_all(b"through").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn too_many_descriptors_are_said_and_none_leaks() {
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    let (left, right) = UnixStream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let raw = [writer.as_raw_fd(); MOST + 3];
    let bytes = [std::io::IoSlice::new(b"x")];
    let rights = [ControlMessage::ScmRights(&raw)];
    sendmsg::<UnixAddr>(left.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).unwrap();
    drop(writer);
    let received = receive(right.as_fd(), &mut [0; 8]).unwrap();
    assert!(received.truncated);
    assert!(received.fds.iter().all(Option::is_some));
    drop(received);
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "a copy of the write end is still open");
}

#[test]
fn end_of_stream_is_no_bytes() {
    let (left, right) = UnixStream::pair().unwrap();
    drop(left);
    assert_eq!(receive(right.as_fd(), &mut [0; 8]).unwrap().bytes, 0);
    assert_eq!(send(right.as_fd(), b"x", right.as_fd()).unwrap_err(), Errno::EPIPE);
    assert_eq!(send(right.as_fd(), b"", right.as_fd()).unwrap_err(), Errno::EINVAL);
}
