//! Console sockets that take nothing.

use crate::support::bundle;
use serde_json::json;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;

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
    let long = file(&"x".repeat(120));
    for socket in [&file("absent"), &file("plain"), &file("datagram"), &file("deserted"), &file("folder"), &long] {
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
}
