//! Pseudo-terminals of the machine that runs the test.
#![allow(clippy::unwrap_used)] // a test may

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use zviz_sys::pty::{number, open_in, peer, set_size, size};
use zviz_sys::{Errno, path};

fn host_root() -> OwnedFd {
    path::open_path(c"/", libc::O_DIRECTORY).unwrap()
}

#[test]
fn both_ends_talk() {
    let master = open_in(host_root().as_fd()).unwrap();
    let other = peer(master.as_fd()).unwrap();
    set_size(master.as_fd(), (33, 101)).unwrap();
    assert_eq!(size(other.as_fd()).unwrap(), (33, 101));
    let name = std::fs::read_link(format!("/proc/self/fd/{}", other.as_raw_fd())).unwrap();
    assert_eq!(name.to_str().unwrap(), format!("/dev/pts/{}", number(master.as_fd()).unwrap()));
    std::fs::File::from(other).write_all(b"out\n").unwrap();
    let mut buffer = [0; 16];
    let n = std::fs::File::from(master).read(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"out\r\n");
}

#[test]
fn only_a_real_devpts_is_used() {
    let scratch = std::env::temp_dir().join(format!("zviz-pty-{}", std::process::id()));
    std::fs::create_dir_all(scratch.join("dev/pts")).unwrap();
    let root: OwnedFd = std::fs::File::open(&scratch).unwrap().into();
    assert_eq!(open_in(root.as_fd()).unwrap_err(), Errno::ENODEV, "an empty directory");
    std::fs::remove_dir(scratch.join("dev/pts")).unwrap();
    assert_eq!(open_in(root.as_fd()).unwrap_err(), Errno::ENOENT);
    std::os::unix::fs::symlink("/dev/pts", scratch.join("dev/pts")).unwrap();
    assert_eq!(open_in(root.as_fd()).unwrap_err(), Errno::ELOOP, "a link, whatever it points to");
    std::fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn a_peer_comes_only_from_a_master() {
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    assert_eq!(peer(null.as_fd()).unwrap_err(), Errno::ENOTTY);
    assert_eq!(number(null.as_fd()).unwrap_err(), Errno::ENOTTY);
}
