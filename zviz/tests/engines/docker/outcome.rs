//! What a container says and how it ends.

use super::daemon::Docker;
use crate::support::{ZVIZ, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub fn hello(docker: &Docker) {
    assert_eq!(docker.run(&[], &["echo", "hello"]).ok(), "hello");
    // And it is zviz that runs them.
    let container = docker.background(&[], "sleep 100");
    let root = docker.runtime_root();
    let list = run(Command::new(ZVIZ).arg("--root").arg(&root).args(["list", "--quiet"])).ok();
    assert_eq!(list, container.id);
}

pub fn exit_codes(docker: &Docker) {
    for code in [0, 3, 255] {
        docker.sh(&[], &format!("exit {code}")).exits(code);
    }
    docker.sh(&[], "sleep 100 & kill -9 $!; wait $!").exits(137);
    docker.sh(&["--init"], "kill -9 $$").exits(137);
    docker.sh(&["--init"], "kill $$").exits(143);
}

/// Docker leaves HOME to the runtime.
pub fn home(docker: &Docker) {
    let home = ["sh", "-c", "echo $HOME"];
    assert_eq!(docker.run(&[], &home).ok(), "/root");
    assert_eq!(docker.run(&["--user=user"], &home).ok(), "/tmp");
    assert_eq!(docker.run(&["--user=4444"], &home).ok(), "/");
    assert_eq!(docker.run(&["--env=HOME=/x"], &home).ok(), "/x");
    let container = docker.background(&[], "sleep 100");
    assert_eq!(container.exec(&["--user=user"], "echo $HOME").ok(), "/tmp");
    assert_eq!(container.exec(&[], "echo $HOME").ok(), "/root");
}

pub fn a_program_that_cannot_run(docker: &Docker) {
    for (program, code, words) in [
        ("/no/such", 127, "no such file or directory"),
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ] {
        let done = docker.run(&[], &[program]).exits(code);
        assert!(done.err.contains(words), "{program}: {done}");
        assert!(done.err.contains(program), "{program}: {done}");
    }
    // What only the kernel can tell is told by the container itself.
    let file = docker.scratch.join("no-program");
    for (text, code, words) in [("garbage", 126, "Exec format error"), ("#!/no/such", 127, "No such file")] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let done = docker.run(&[&format!("--volume={}:/bin/it", file.display())], &["it"]).exits(code);
        assert!(done.err.contains(words), "{done}");
    }
}
