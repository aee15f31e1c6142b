//! Who connects to an agent may say anything, or nothing. None of it holds up a container.

use super::SYSTEM;
use super::served::{Place, Runtime, children};
use crate::support::{requires, run};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use zviz_broker::handover::{ContainerProcessState, State, send};
use zviz_sys::seccomp::{Instruction, flag, load};

/// A listener of a thread that ends at once, or when the sender that comes with it is dropped.
fn listener(lives: bool) -> (OwnedFd, std::sync::mpsc::Sender<()>) {
    let (told, listener) = std::sync::mpsc::channel();
    let (until, end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let allow = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 }];
        zviz_sys::ids::set_no_new_privs().unwrap();
        told.send(load(&allow, flag::NEW_LISTENER).unwrap().unwrap()).unwrap();
        if lives {
            let _ = end.recv();
        }
    });
    let listener = listener.recv().unwrap();
    if !lives {
        thread.join().unwrap();
    }
    (listener, until)
}

fn message(pid: i32) -> ContainerProcessState {
    let state = State {
        oci_version: "1.2.0".into(),
        id: "abuse".into(),
        status: "creating".into(),
        pid,
        bundle: "/".into(),
        annotations: None,
    };
    ContainerProcessState { oci_version: "1.2.0".into(), fds: vec![], pid, metadata: String::new(), state }
}

#[test]
fn nonsense_and_silence_are_dropped_and_hold_nobody_up() {
    requires!(root, program "busybox", program "runc");
    let mut place = Place::new("virtualised", &[]);
    let connect = || UnixStream::connect(place.socket()).unwrap();
    let started = Instant::now();
    let mut silent: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    for nonsense in [&b"{}"[..], b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", &[b'{'; 1 << 16]] {
        // It may be closed before all is written.
        let _ = connect().write_all(nonsense);
    }
    let bundle = place.bundle("among-them", SYSTEM, "uname -r", |_| {});
    assert_eq!(place.run(Runtime::Runc, &bundle).ok(), "6.1.0");
    assert!(started.elapsed() < Duration::from_secs(4), "nobody waited for those that are silent");
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let end = stream.read_exact(&mut [0; 1]).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof, "dropped");
    }
    let pid = place.pid();
    place.wait_until("all is reaped", || children(pid).is_empty());
    assert_eq!(place.log().matches("a connection is dropped: ").count(), 24, "{}", place.log());
}

#[test]
fn more_than_are_looked_at_at_once_wait_their_turn() {
    requires!(root, program "busybox", program "runc");
    let place = Place::new("virtualised", &[]);
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(place.socket()).unwrap()).collect();
    let bundle = place.bundle("behind-them", SYSTEM, "uname -r", |_| {});
    let container = std::thread::scope(|scope| {
        let container = scope.spawn(|| place.run(Runtime::Runc, &bundle));
        assert!(children(place.pid()).len() <= 64);
        container.join().unwrap()
    });
    // Two rounds of the silent ones' deadline at most.
    assert_eq!(container.ok(), "6.1.0");
    drop(silent);
}

#[test]
fn a_container_that_is_gone_or_another_process_is_refused() {
    requires!(root, program "busybox");
    let mut place = Place::new("virtualised", &[]);
    let own = i32::try_from(std::process::id()).unwrap();
    let mut short = Command::new("true").spawn().unwrap();
    let gone = i32::try_from(short.id()).unwrap();
    short.wait().unwrap();
    let hand_over = |place: &mut Place, lives: bool, pid: i32, words: &str| {
        let (listener, _until) = listener(lives);
        send(listener, &place.socket(), message(pid)).unwrap();
        let log = place.path("log");
        place.wait_until(words, || std::fs::read_to_string(&log).unwrap().contains(words));
    };
    hand_over(&mut place, true, own, &format!("container abuse: process {own} has no seccomp filter"));
    hand_over(&mut place, true, gone, &format!("container abuse: process {gone} has ended"));
    hand_over(&mut place, false, own, &format!("container abuse: process {own} has ended"));
    assert!(!place.log().contains("are served by"));
    let pid = place.pid();
    place.wait_until("all is reaped", || children(pid).is_empty());
}

/// The mode of the socket keeps others away; where somebody has changed it, the agent does.
#[test]
fn another_users_connection_is_dropped() {
    requires!(root, program "busybox", program "setpriv", program "perl");
    let mut place = Place::new("virtualised", &[]);
    std::fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    let connect = |place: &Place| {
        let script = "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; \
                      connect($s, pack_sockaddr_un($ARGV[0])) or exit 3; sysread($s, my $b, 1); exit 4";
        let ids = ["--reuid", "12345", "--regid", "12345", "--clear-groups", "perl", "-e", script];
        run(Command::new("setpriv").args(ids).arg(place.socket())).code
    };
    assert_eq!(connect(&place), 3, "it cannot connect");
    std::fs::set_permissions(place.socket(), Permissions::from_mode(0o666)).unwrap();
    let before = Instant::now();
    assert_eq!(connect(&place), 4, "it is dropped");
    assert!(before.elapsed() < Duration::from_secs(4), "at once");
    let log = place.path("log");
    place.wait_until("told", || std::fs::read_to_string(&log).unwrap().contains("user 12345 is neither root nor"));
}

/// A container that is killed while it is handed over, at many moments.
#[test]
fn containers_that_end_while_they_are_handed_over_leave_nothing() {
    requires!(root, program "busybox", program "runc");
    let mut place = Place::new("virtualised", &[]);
    let bundle = place.bundle("killed", SYSTEM, "uname -r", |_| {});
    for step in 0..20 {
        let id = format!("{}-{step}", place.path("").parent().unwrap().display().to_string().replace('/', "_"));
        let mut runc =
            place.command(Runtime::Runc, &["run", "--bundle", bundle.to_str().unwrap(), &id]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(step * 3));
        runc.kill().unwrap();
        runc.wait().unwrap();
        run(&mut place.command(Runtime::Runc, &["delete", "--force", &id]));
    }
    let pid = place.pid();
    place.wait_until("all is reaped", || children(pid).is_empty());
    let again = place.bundle("after", SYSTEM, "uname -r", |_| {});
    assert_eq!(place.run(Runtime::Runc, &again).ok(), "6.1.0");
}
