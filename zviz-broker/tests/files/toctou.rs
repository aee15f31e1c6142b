//! What a call names changes while it is decided about: its path in memory, the links on its way, its directory's
//! descriptor. Nothing forbidden is ever opened; a supervisor that looks and then lets the kernel do the call shows that
//! the attacks work.

use super::{HERE, Scene, brokered};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zviz_sys::{Errno, notify, path};

/// How long each attack takes: ZVIZ_RACE_SECONDS, or a little.
fn time() -> Duration {
    let asked = std::env::var("ZVIZ_RACE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    asked.map_or(Duration::from_millis(1500), Duration::from_secs)
}

/// How often an open gave what it may, and what it may not.
#[derive(Debug, Default)]
struct Got {
    open: u32,
    secret: u32,
}

/// Opens for a while, with another thread that changes things.
fn attack(change: impl Fn(bool) + Sync, open: impl Fn() -> Result<OwnedFd, Errno>) -> Got {
    let done = AtomicBool::new(false);
    let mut got = Got::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut secret = false;
            while !done.load(Ordering::Relaxed) {
                secret = !secret;
                change(secret);
            }
        });
        let (start, time) = (Instant::now(), time());
        while start.elapsed() < time {
            let mut text = String::new();
            if open().is_ok_and(|file| File::from(file).read_to_string(&mut text).is_ok()) {
                match text.as_str() {
                    "open/file" => got.open += 1,
                    _ => got.secret += 1,
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    got
}

/// Whatever is opened is told on a line of `report`.
fn attacks(base: &Path, report: &File) {
    let [open, secret] = ["open/file", "secret/file"].map(|name| name_of(base, name));
    let room = CString::new(vec![b'/'; 4000]).unwrap();
    let address = room.as_ptr() as u64;
    let memory = fs::OpenOptions::new().write(true).open("/proc/self/mem");
    let memory = memory.unwrap();
    let write = |name: &CString| memory.write_all_at(name.as_bytes_with_nul(), address).unwrap();
    write(&open);
    let by_memory = attack(|hidden| write(if hidden { &secret } else { &open }), || opened(HERE, &room));
    let link = base.join("open/flips");
    let flip = |hidden| {
        let new = base.join("open/new-flips");
        let _ = fs::remove_file(&new);
        symlink(if hidden { "../secret/file" } else { "file" }, &new).unwrap();
        fs::rename(new, &link).unwrap();
    };
    // Nothing is made there.
    flip(false);
    let by_link = attack(flip, || opened(HERE, &name_of(base, "open/flips")));
    let [open, secret] =
        ["open", "secret"].map(|name| path::open(&name_of(base, name), libc::O_PATH | libc::O_DIRECTORY).unwrap());
    let by_descriptor = attack(
        |hidden| zviz_sys::fd::dup_onto_stdio(if hidden { secret.as_fd() } else { open.as_fd() }, 0).unwrap(),
        || opened(std::io::stdin(), c"file"),
    );
    // A directory on the way is a link, and is not.
    let [way, other] = ["open/way", "open/other-way"].map(|name| base.join(name));
    for place in [&way, &other] {
        let _ = (fs::remove_dir_all(place), fs::remove_file(place));
    }
    fs::create_dir(&way).unwrap();
    fs::write(way.join("file"), "open/file").unwrap();
    symlink("../secret", &other).unwrap();
    let swap = || {
        use nix::fcntl::{RenameFlags, renameat2};
        renameat2(HERE, &way, HERE, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
    };
    let by_way = attack(
        |hidden| {
            if fs::symlink_metadata(&way).unwrap().is_symlink() != hidden {
                swap();
            }
        },
        || opened(HERE, &name_of(base, "open/way/file")),
    );
    for (i, got) in [by_memory, by_link, by_descriptor, by_way].iter().enumerate() {
        let line = format!("{:10}{:10}", got.open, got.secret);
        report.write_all_at(line.as_bytes(), i as u64 * 20).unwrap();
    }
}

/// To be read, and to be written or made, in turn: the broker has a way of its own for each.
fn opened(directory: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    static WRITES: AtomicBool = AtomicBool::new(false);
    let flags = if WRITES.fetch_xor(true, Ordering::Relaxed) { libc::O_RDWR | libc::O_CREAT } else { 0 };
    path::openat(directory.as_fd(), name, flags, 0o600)
}

fn name_of(base: &Path, name: &str) -> CString {
    CString::new(base.join(name).to_str().unwrap()).unwrap()
}

/// (what was opened that may be, what may not be), by attack.
fn reported(report: &File) -> Vec<(u32, u32)> {
    let mut text = [0u8; 80];
    report.read_exact_at(&mut text, 0).unwrap();
    let numbers: Vec<u32> =
        text.chunks(10).map(|field| std::str::from_utf8(field).unwrap().trim().parse().unwrap()).collect();
    numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

pub fn nothing_forbidden_is_opened_in_a_race(test: &str) {
    let scene = Scene::new();
    let report = tempfile::tempfile().unwrap();
    for one in [true, false] {
        let ended = brokered::run((scene.policy(), one), || attacks(&scene.base, &report));
        assert_eq!(ended, Some(0), "{test}");
        eprintln!("{test}: opens that may be and that may not: {:?}", reported(&report));
        for (attack, (open, secret)) in reported(&report).into_iter().enumerate() {
            assert_eq!(secret, 0, "{test}: attack {attack}, one identity: {one}: {open} others");
            assert!(open > 10, "{test}: attack {attack}: only {open} opens came through");
        }
    }
    let ended = brokered::supervised(|| attacks(&scene.base, &report), look_and_let_run);
    assert_eq!(ended, Some(0), "{test}: the control");
    let leaks = reported(&report);
    eprintln!("{test}: the same without a broker that opens: {leaks:?}");
    assert!(leaks.iter().all(|(_, secret)| *secret > 0), "{test}: the control leaks nothing: {leaks:?}");
}

/// What no supervisor should do: look at what the call names, and let the kernel look again.
fn look_and_let_run(listener: OwnedFd, victim: OwnedFd) {
    loop {
        // Older kernels (6.1) tell the end of the listener when the victim is reaped, which is done after this.
        let mut fds = [&listener, &victim].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE).unwrap();
        if !fds[0].revents().unwrap().contains(PollFlags::POLLIN) {
            return;
        }
        let Ok(call) = notify::receive(listener.as_fd()) else { continue };
        let by_directory = call.args[0] == 0;
        let nothing = call.args[2] & u64::from(libc::O_PATH.cast_unsigned()) != 0;
        let named = if by_directory {
            fs::read_link(format!("/proc/{}/fd/0", call.pid)).unwrap_or_default()
        } else {
            let mut text = [0u8; 64];
            let remote = RemoteIoVec { base: usize::try_from(call.args[1]).unwrap(), len: text.len() };
            let pid = nix::unistd::Pid::from_raw(call.pid.cast_signed());
            let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut text)], &[remote]);
            let name = CStr::from_bytes_until_nul(&text).unwrap_or_default();
            fs::canonicalize(name.to_str().unwrap_or_default()).unwrap_or_default()
        };
        let _ = if !nothing && named.to_string_lossy().contains("/secret") {
            notify::refuse(listener.as_fd(), call.id, Errno::EACCES)
        } else {
            notify::let_run(listener.as_fd(), call.id)
        };
    }
}
