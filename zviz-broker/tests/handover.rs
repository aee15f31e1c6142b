//! A listener from a runtime to an agent, over a real socket.
#![allow(clippy::unwrap_used)] // a test may

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;
use zviz_broker::handover::{ContainerProcessState, State, receive, send};
use zviz_sys::rights;
use zviz_sys::seccomp::{Instruction, flag, load};

const PATIENCE: Duration = Duration::from_secs(10);

/// A listener of a filter that allows everything, of a thread that ends at once.
fn listener() -> Option<OwnedFd> {
    let allow = [Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 }];
    let load = move || {
        zviz_sys::ids::set_no_new_privs().unwrap();
        load(&allow, flag::NEW_LISTENER)
    };
    match std::thread::spawn(load).join().unwrap() {
        Ok(listener) => listener,
        Err(errno) => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("SKIP handover: no seccomp listener can be made here: {}\n", errno.desc()).as_bytes(),
            );
            None
        }
    }
}

fn message(metadata: &str) -> ContainerProcessState {
    ContainerProcessState {
        oci_version: "1.2.0".into(),
        fds: vec![],
        pid: 4422,
        metadata: metadata.into(),
        state: State {
            oci_version: "1.2.0".into(),
            id: "c1".into(),
            status: "creating".into(),
            pid: 4422,
            bundle: "/bundles/c1".into(),
            annotations: Some([("key".to_owned(), "value".to_owned())].into()),
        },
    }
}

fn socket(name: &str) -> (PathBuf, UnixListener) {
    let path = std::env::temp_dir().join(format!("zviz-agent-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    (path.clone(), UnixListener::bind(path).unwrap())
}

#[test]
fn the_json_is_that_of_the_specification() {
    let mut example = message("MKNOD=/dev/null");
    example.fds = vec!["seccompFd".into()];
    let json = serde_json::to_string(&example).unwrap();
    assert_eq!(
        json,
        r#"{"ociVersion":"1.2.0","fds":["seccompFd"],"pid":4422,"metadata":"MKNOD=/dev/null","state":{"ociVersion":"1.2.0","id":"c1","status":"creating","pid":4422,"bundle":"/bundles/c1","annotations":{"key":"value"}}}"#
    );
    example.metadata.clear();
    example.state.annotations = None;
    let json = serde_json::to_string(&example).unwrap();
    assert!(!json.contains("metadata") && !json.contains("annotations"), "{json}");
}

#[test]
fn a_listener_arrives_with_its_state() {
    let Some(listener) = listener() else { return };
    let (path, server) = socket("small");
    let agent = std::thread::spawn(move || receive(&server.accept().unwrap().0, PATIENCE).unwrap());
    send(listener, &path, message("opaque")).unwrap();
    let handed = agent.join().unwrap();
    let mut expected = message("opaque");
    expected.fds = vec!["seccompFd".into()];
    assert_eq!(handed.message, expected);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_state_larger_than_a_socket_takes_at_once_arrives_whole() {
    let Some(listener) = listener() else { return };
    let (path, server) = socket("large");
    let agent = std::thread::spawn(move || receive(&server.accept().unwrap().0, PATIENCE).unwrap());
    let metadata = "é".repeat(900_000);
    send(listener, &path, message(&metadata)).unwrap();
    assert_eq!(agent.join().unwrap().message.metadata, metadata);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_agent_that_is_not_there_is_an_error() {
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let error = send(null(), "/nonexistent/agent".as_ref(), message("")).unwrap_err();
    assert_eq!(error.to_string(), "connect to the seccomp agent at /nonexistent/agent: No such file or directory");
    let error = send(null(), "/dev/null".as_ref(), message("")).unwrap_err();
    assert_eq!(error.to_string(), "connect to the seccomp agent at /dev/null: Socket operation on non-socket");
    let error = send(null(), "/nonexistent".as_ref(), message(&"x".repeat(5 << 20))).unwrap_err();
    assert!(error.to_string().starts_with("the container's state is no message for a seccomp agent: 52"), "{error}");
}

/// What an agent says to bytes, with these descriptors beside the first of them.
fn said(bytes: &[u8], fd: Option<OwnedFd>) -> String {
    let (mut runtime, agent) = UnixStream::pair().unwrap();
    match fd {
        Some(fd) => rights::send_all(runtime.as_fd(), bytes, fd.as_fd()).unwrap(),
        None => runtime.write_all(bytes).unwrap(),
    }
    drop(runtime);
    receive(&agent, PATIENCE).unwrap_err().to_string()
}

#[test]
fn what_is_no_message_is_refused() {
    let null = || Some(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let with = |change: &dyn Fn(&mut ContainerProcessState)| {
        let mut message = message("");
        message.fds = vec!["seccompFd".into()];
        change(&mut message);
        serde_json::to_vec(&message).unwrap()
    };
    assert_eq!(said(b"", None), "the message ends after 0 bytes");
    assert_eq!(said(&with(&|_| ()), None), "no descriptor comes with the first bytes");
    assert_eq!(said(b"{\"ociVersion\":", null()), "the message ends after 14 bytes");
    assert!(said(b"[]", null()).starts_with("the message is no container process state: "));
    assert!(said(b"{\"ociVersion\":\"1.2.0\"}", null()).contains("missing field `pid`"));
    assert_eq!(said(&with(&|_| ()), null()), "seccompFd is no seccomp listener");
    assert_eq!(said(&with(&|m| m.fds.clear()), null()), "fds does not name the descriptors that came");
    assert_eq!(said(&with(&|m| m.fds = vec!["other".into()]), null()), "fds does not name one seccompFd");
    let mut twice = with(&|_| ());
    twice.extend_from_slice(b"{}");
    assert!(said(&twice, null()).contains("trailing characters"));
    let Some(listener) = listener() else { return };
    let copy = || Some(listener.try_clone().unwrap());
    assert_eq!(said(&with(&|m| m.pid = 0), copy()), "pid: 0");
    assert_eq!(said(&with(&|m| m.state.pid = -1), copy()), "state.pid: -1");
    assert_eq!(said(&with(&|m| m.state.id.clear()), copy()), "state.id: empty");
}

#[test]
fn a_peer_that_says_nothing_does_not_hold_the_agent() {
    let (_runtime, agent) = UnixStream::pair().unwrap();
    let error = receive(&agent, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, zviz_broker::handover::ReceiveError::Receive(zviz_sys::Errno::EAGAIN)), "{error}");
}

#[test]
fn a_message_without_end_is_cut() {
    let (mut runtime, agent) = UnixStream::pair().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let writer = std::thread::spawn(move || {
        rights::send_all(runtime.as_fd(), b"{\"metadata\":\"", null.as_fd()).unwrap();
        while runtime.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let error = receive(&agent, PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), "the message is larger than 4194304 bytes");
    drop(agent);
    writer.join().unwrap();
}
