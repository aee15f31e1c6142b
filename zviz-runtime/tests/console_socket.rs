//! `--console-socket`: a real socket gets a real master.
#![allow(clippy::unwrap_used)] // a test may

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use zviz_runtime::console::ConsoleSocket;
use zviz_sys::{path, pty, rights};

#[test]
fn the_master_arrives_with_the_name_of_its_other_end() {
    let scratch = tempfile::tempdir().unwrap();
    // Longer than an address can be.
    let directory = scratch.path().join("d".repeat(120));
    std::fs::create_dir(&directory).unwrap();
    let short = scratch.path().join("s");
    let listener = UnixListener::bind(&short).unwrap();
    let path = directory.join("socket");
    std::fs::rename(&short, &path).unwrap();

    let socket = ConsoleSocket::connect(&path).unwrap();
    let master = pty::open_in(path::open_path(c"/", 0).unwrap().as_fd()).unwrap();
    let name = format!("/dev/pts/{}", pty::number(master.as_fd()).unwrap());
    let mut peer = std::fs::File::from(pty::peer(master.as_fd()).unwrap());
    socket.send(master).unwrap();

    let (stream, _) = listener.accept().unwrap();
    let mut buffer = [0; 64];
    let mut received = rights::receive(stream.as_fd(), &mut buffer).unwrap();
    assert_eq!(&buffer[..received.bytes], name.as_bytes());
    peer.write_all(b"hello\n").unwrap();
    let n = std::fs::File::from(received.fds[0].take().unwrap()).read(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"hello\r\n");
    assert_eq!(rights::receive(stream.as_fd(), &mut buffer).unwrap().bytes, 0, "the connection is closed");
}

#[test]
fn what_is_no_socket_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let said = |path: &std::path::Path| ConsoleSocket::connect(path).unwrap_err().to_string();
    let path = scratch.path().join("plain");
    assert_eq!(said(&path), format!("console socket {}: No such file or directory", path.display()));
    std::fs::write(&path, "").unwrap();
    assert_eq!(said(&path), format!("console socket {}: Socket operation on non-socket", path.display()));
    let path = scratch.path().join("closed");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(said(&path), format!("console socket {}: Connection refused", path.display()));
}
