//! An address that changes while it is decided about.

use super::stage::{Supervisor, play, possible};
use super::{CALLS, internet, stream, unix};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, setsockopt, sockopt};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use zviz_sys::notify::Notification;
use zviz_sys::socket::connect;

const ALLOWED: [u8; 4] = [127, 0, 0, 1];
const FORBIDDEN: [u8; 4] = [127, 0, 0, 2];

fn duration() -> Duration {
    let seconds = std::env::var("ZVIZ_RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// How often each was reached.
struct Reached {
    allowed: Arc<AtomicUsize>,
    forbidden: Arc<AtomicUsize>,
}

fn count<T: Send + 'static>(accept: impl Fn() -> std::io::Result<T> + Send + 'static) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        while accept().is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    count
}

/// Connects again and again while another thread writes now one address, now the other, over the one that is used.
fn flip(port: u16, listeners: [TcpListener; 2]) -> Reached {
    let [allowed, forbidden] = listeners.map(|listener| count(move || listener.accept()));
    let addresses = [ALLOWED, FORBIDDEN].map(|ip| internet((ip, port).into()));
    let used = Box::leak(addresses[0].clone().into_boxed_slice());
    let place = RemoteIoVec { base: used.as_ptr() as usize, len: used.len() };
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    let flipper = std::thread::spawn(move || {
        // From outside, as it were: by the kernel.
        while !end.load(Ordering::Relaxed) {
            for address in &addresses {
                process_vm_writev(Pid::this(), &[IoSlice::new(address)], &[place]).unwrap();
            }
        }
    });
    let until = Instant::now() + duration();
    let mut refused = 0;
    while Instant::now() < until {
        let socket = stream(AddressFamily::Inet);
        setsockopt(&socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        match connect(socket.as_fd(), used) {
            Ok(()) | Err(Errno::EADDRNOTAVAIL) => {}
            Err(Errno::EACCES) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    ended.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(refused > 0, "the forbidden address was never seen");
    Reached { allowed, forbidden }
}

fn listeners() -> (u16, [TcpListener; 2]) {
    let allowed = TcpListener::bind((Ipv4Addr::from(ALLOWED), 0)).unwrap();
    let port = allowed.local_addr().unwrap().port();
    (port, [allowed, TcpListener::bind((Ipv4Addr::from(FORBIDDEN), port)).unwrap()])
}

#[test]
fn an_address_that_changes_leads_nowhere_forbidden() {
    if !possible("an_address_that_changes_leads_nowhere_forbidden") {
        return;
    }
    let rules = r#"{"connect":[{"allow":{"net":{"in":["127.0.0.1"]}}}]}"#;
    play(&Supervisor::Broker { rules, log: None }, CALLS, listeners, |(port, listeners)| {
        let reached = flip(port, listeners);
        let count = |place: &AtomicUsize| place.load(Ordering::SeqCst);
        assert!(count(&reached.allowed) > 100, "{}", count(&reached.allowed));
        assert_eq!(count(&reached.forbidden), 0);
    });
    // The same decision, after which the kernel reads the address again, does leak.
    play(&Supervisor::Unsafe(is_allowed), CALLS, listeners, |(port, listeners)| {
        assert!(flip(port, listeners).forbidden.load(Ordering::SeqCst) > 0, "the race is not run");
    });
}

fn is_allowed(call: &Notification) -> bool {
    copied(call).get(4..8) == Some(&ALLOWED)
}

fn copied(call: &Notification) -> Vec<u8> {
    let mut address = vec![0u8; usize::try_from(call.args[2]).unwrap().min(128)];
    let place = RemoteIoVec { base: usize::try_from(call.args[1]).unwrap(), len: address.len() };
    let pid = Pid::from_raw(call.pid.cast_signed());
    let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut address)], &[place]);
    address
}

/// Connects again and again by a link that leads now to one socket, now to the other.
fn flip_link(root: &Path, [allowed, forbidden]: [UnixListener; 2]) -> Reached {
    let (allowed, forbidden) = (count(move || allowed.accept()), count(move || forbidden.accept()));
    let ended = Arc::new(AtomicBool::new(false));
    let flipper = std::thread::spawn({
        let (root, end) = (root.to_owned(), Arc::clone(&ended));
        move || {
            while !end.load(Ordering::Relaxed) {
                for to in ["allowed/s", "forbidden/s"] {
                    std::os::unix::fs::symlink(to, root.join("next")).unwrap();
                    std::fs::rename(root.join("next"), root.join("link")).unwrap();
                }
            }
        }
    });
    let until = Instant::now() + duration();
    let address = unix(&[root.join("link").as_os_str().as_bytes(), &[0]].concat());
    let mut refused = 0;
    while Instant::now() < until {
        match connect(stream(AddressFamily::Unix).as_fd(), &address) {
            Ok(()) | Err(Errno::ENOENT | Errno::EAGAIN) => {}
            Err(Errno::EACCES) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    ended.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(refused > 0, "the forbidden socket was never seen");
    Reached { allowed, forbidden }
}

#[test]
fn a_link_that_changes_leads_nowhere_forbidden() {
    if !possible("a_link_that_changes_leads_nowhere_forbidden") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root: PathBuf = folder.path().canonicalize().unwrap();
    let prepare = || {
        ["allowed", "forbidden"].map(|name| {
            let _ = std::fs::create_dir(root.join(name));
            let _ = std::fs::remove_file(root.join(name).join("s"));
            UnixListener::bind(root.join(name).join("s")).unwrap()
        })
    };
    let rules = format!(r#"{{"connect":[{{"allow":{{"path":"{}/allowed/s"}}}}]}}"#, root.display());
    play(&Supervisor::Broker { rules: &rules, log: None }, CALLS, prepare, |listeners| {
        let reached = flip_link(&root, listeners);
        assert!(reached.allowed.load(Ordering::SeqCst) > 100);
        assert_eq!(reached.forbidden.load(Ordering::SeqCst), 0);
    });
    play(&Supervisor::Unsafe(leads_to_allowed), CALLS, prepare, |listeners| {
        assert!(flip_link(&root, listeners).forbidden.load(Ordering::SeqCst) > 0, "the race is not run");
    });
}

fn leads_to_allowed(call: &Notification) -> bool {
    let address = copied(call);
    let name = address.get(2..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    let leads = std::fs::canonicalize(Path::new(OsStr::from_bytes(name)));
    leads.is_ok_and(|path| path.ends_with("allowed/s"))
}
