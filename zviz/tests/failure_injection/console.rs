//! Console sockets that take nothing.

use crate::support::bundle;
use serde_json::json;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_bad_console_socket_leaves_nothing() {
    let Some(bundle) = bundle("socket", &["true"]) else { return };
    bundle.edit(|spec| spec["process"]["terminal"] = json!(true));
    let create = |socket: &str| {
        let mut create =
            bundle.command(&["create", "--bundle", bundle.path(), "--console-socket", socket, &bundle.name]);
        let output = create.stdout(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::create_dir(bundle.file("root")).unwrap();
    let file = |name: &str| bundle.file(name);
    std::fs::write(file("plain"), "").unwrap();
    let _datagram = UnixDatagram::bind(file("datagram")).unwrap();
    drop(UnixListener::bind(file("deserted")).unwrap());
    std::fs::create_dir(file("folder")).unwrap();
    let _unlinked = UnixListener::bind(file("folder/unlinked")).unwrap();
    std::fs::remove_file(file("folder/unlinked")).unwrap();
    let bad = ["absent", "plain", "datagram", "deserted", "folder", "folder/unlinked", &"x".repeat(120)].map(file);
    for socket in &bad {
        let (worked, error) = create(socket);
        assert!(!worked && error.lines().count() == 1 && error.contains("console"), "{socket}: {error}");
        bundle.leaves_nothing();
    }
    // The control; and one who takes the terminal and goes.
    let listener = UnixListener::bind(file("good")).unwrap();
    let taker = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let (worked, error) = create(&file("good"));
    taker.join().unwrap();
    assert!(worked || error.contains("console"), "{error}");
    if worked {
        bundle.ok(&["delete", "--force", &bundle.name]);
    }
    bundle.leaves_nothing();
    // A container that runs is not touched by an exec that cannot hand its terminal on.
    bundle.edit(|spec| {
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sleep", "1000"]);
    });
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    for socket in &bad {
        let exec = ["exec", "--tty", "--detach", "--console-socket", socket, &bundle.name, "sleep", "1000"];
        let error = String::from_utf8(bundle.zviz(&exec).stderr).unwrap();
        assert!(error.lines().count() == 1 && error.contains("console"), "{socket}: {error}");
    }
    let listener = UnixListener::bind(file("goes")).unwrap();
    let taker = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let _ = bundle.zviz(&["exec", "--tty", "--console-socket", &file("goes"), "--detach", &bundle.name, "true"]);
    taker.join().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bundle.ok(&["ps", "--format", "json", &bundle.name]).contains(',') {
        assert!(Instant::now() < deadline, "an exec is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}
