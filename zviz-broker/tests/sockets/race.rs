//! An address that changes while it is decided about.

use super::stage::{Supervisor, play, possible, possible_with_landlock};
use super::{CALLS, internet, stream, unix};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use zviz_sys::notify::Notification;
use zviz_sys::socket::{bind, connect, send};

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

impl Reached {
    fn only_allowed(&self) {
        let count = |place: &AtomicUsize| place.load(Ordering::SeqCst);
        assert!(count(&self.allowed) > 0, "nothing was allowed");
        assert_eq!(count(&self.forbidden), 0);
    }

    /// As an unsafe supervisor lets it: else the race would not be run.
    fn leaked(&self) {
        assert!(self.forbidden.load(Ordering::SeqCst) > 0, "no forbidden place was reached");
    }
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

/// Uses an address again and again while another thread writes now one, now the other over it.
fn flip(addresses: [Vec<u8>; 2], mut go: impl FnMut(&[u8]) -> Result<(), Errno>) {
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
        match go(used) {
            Ok(()) | Err(Errno::EADDRNOTAVAIL) => {}
            Err(Errno::EACCES) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    ended.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(refused > 0, "the forbidden address was never seen");
}

fn connecting((port, listeners): (u16, [TcpListener; 2])) -> Reached {
    let [allowed, forbidden] = listeners.map(|listener| count(move || listener.accept()));
    flip([ALLOWED, FORBIDDEN].map(|ip| internet((ip, port).into())), |address| {
        let socket = stream(AddressFamily::Inet);
        setsockopt(&socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        connect(socket.as_fd(), address)
    });
    Reached { allowed, forbidden }
}

fn sending((port, sockets): (u16, [UdpSocket; 2])) -> Reached {
    let [allowed, forbidden] = sockets.map(|socket| count(move || socket.recv(&mut [0; 8])));
    let from = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    flip([ALLOWED, FORBIDDEN].map(|ip| internet((ip, port).into())), |address| {
        send(from.as_fd(), Some(address), b"x", &[], 0).map(drop)
    });
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
    play(&Supervisor::Broker { rules, log: None, one: true }, CALLS, listeners, |listeners| {
        connecting(listeners).only_allowed()
    });
    // The same decision, after which the kernel reads the address again, does leak.
    play(&Supervisor::Unsafe(is_allowed), CALLS, listeners, |listeners| connecting(listeners).leaked());
}

#[test]
fn a_destination_that_changes_is_not_sent_to() {
    if !possible("a_destination_that_changes_is_not_sent_to") {
        return;
    }
    let rules = r#"{"connect":[{"allow":{"net":{"in":["127.0.0.1"]}}}]}"#;
    let prepare = || {
        let allowed = UdpSocket::bind((Ipv4Addr::from(ALLOWED), 0)).unwrap();
        let port = allowed.local_addr().unwrap().port();
        (port, [allowed, UdpSocket::bind((Ipv4Addr::from(FORBIDDEN), port)).unwrap()])
    };
    play(&Supervisor::Broker { rules, log: None, one: true }, CALLS, prepare, |sockets| {
        sending(sockets).only_allowed()
    });
    play(&Supervisor::Unsafe(is_allowed_message), CALLS, prepare, |sockets| sending(sockets).leaked());
}

fn is_allowed(call: &Notification) -> bool {
    copied(call, call.args[1], call.args[2]).get(4..8) == Some(&ALLOWED)
}

fn is_allowed_message(call: &Notification) -> bool {
    let header = copied(call, call.args[1], 16);
    let name = u64::from_ne_bytes(header[..8].try_into().unwrap());
    copied(call, name, 16).get(4..8) == Some(&ALLOWED)
}

fn copied(call: &Notification, address: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; usize::try_from(length).unwrap().min(128)];
    let place = RemoteIoVec { base: usize::try_from(address).unwrap(), len: bytes.len() };
    let pid = Pid::from_raw(call.pid.cast_signed());
    let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[place]);
    bytes
}

/// Uses a path again and again while its link leads now to one place, now to another.
fn flip_link(root: &Path, targets: [&'static str; 2], last: &str, mut go: impl FnMut(&[u8]) -> Result<(), Errno>) {
    let ended = Arc::new(AtomicBool::new(false));
    let flipper = std::thread::spawn({
        let (root, end) = (root.to_owned(), Arc::clone(&ended));
        move || {
            while !end.load(Ordering::Relaxed) {
                for to in targets {
                    std::os::unix::fs::symlink(to, root.join("next")).unwrap();
                    std::fs::rename(root.join("next"), root.join("link")).unwrap();
                }
            }
        }
    });
    let until = Instant::now() + duration();
    let path = [root.join("link").as_os_str().as_bytes(), last.as_bytes(), &[0]].concat();
    let mut refused = 0;
    while Instant::now() < until {
        match go(&unix(&path)) {
            Ok(()) | Err(Errno::ENOENT | Errno::EAGAIN | Errno::EADDRINUSE) => {}
            Err(Errno::EACCES) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    ended.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(refused > 0, "the forbidden place was never seen");
}

fn connecting_by_link(root: &Path, [allowed, forbidden]: [UnixListener; 2]) -> Reached {
    let (allowed, forbidden) = (count(move || allowed.accept()), count(move || forbidden.accept()));
    flip_link(root, ["allowed/s", "forbidden/s"], "", |address| connect(stream(AddressFamily::Unix).as_fd(), address));
    Reached { allowed, forbidden }
}

/// How many sockets were made in each of two directories.
fn binding_by_link(root: &Path) -> Reached {
    let made = ["allowed", "forbidden"].map(|_| Arc::new(AtomicUsize::new(0)));
    flip_link(root, ["allowed", "forbidden"], "/s", |address| {
        let bound = bind(stream(AddressFamily::Unix).as_fd(), address);
        for (made, name) in made.iter().zip(["allowed", "forbidden"]) {
            if std::fs::remove_file(root.join(name).join("s")).is_ok() {
                made.fetch_add(1, Ordering::SeqCst);
            }
        }
        bound
    });
    let [allowed, forbidden] = made;
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
    play(&Supervisor::Broker { rules: &rules, log: None, one: true }, CALLS, prepare, |listeners| {
        connecting_by_link(&root, listeners).only_allowed();
    });
    play(&Supervisor::Unsafe(leads_to_allowed), CALLS, prepare, |listeners| {
        connecting_by_link(&root, listeners).leaked();
    });
}

fn leads_to_allowed(call: &Notification) -> bool {
    let address = copied(call, call.args[1], call.args[2]);
    let name = address.get(2..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    let leads = std::fs::canonicalize(Path::new(OsStr::from_bytes(name)));
    leads.is_ok_and(|path| path.ends_with("allowed/s"))
}

#[test]
fn a_directory_that_changes_gets_no_forbidden_socket() {
    if !possible_with_landlock("a_directory_that_changes_gets_no_forbidden_socket") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root: PathBuf = folder.path().canonicalize().unwrap();
    let prepare = || {
        for name in ["allowed", "forbidden"] {
            let _ = std::fs::create_dir(root.join(name));
        }
    };
    let rules = format!(r#"{{"bind":[{{"allow":{{"below":"{}/allowed"}}}}]}}"#, root.display());
    let broker = Supervisor::Broker { rules: &rules, log: None, one: true };
    play(&broker, CALLS, prepare, |()| binding_by_link(&root).only_allowed());
    play(&Supervisor::Unsafe(is_in_allowed), CALLS, prepare, |()| binding_by_link(&root).leaked());
}

fn is_in_allowed(call: &Notification) -> bool {
    let address = copied(call, call.args[1], call.args[2]);
    let name = address.get(2..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    let leads = Path::new(OsStr::from_bytes(name)).parent().map(std::fs::canonicalize);
    leads.is_some_and(|path| path.is_ok_and(|path| path.ends_with("allowed")))
}
