//! More programs in a container that runs.

use super::daemon::Docker;
use crate::support::{requires, run_with_input};
use std::process::Command;

pub fn exec(docker: &Docker) {
    let flags =
        ["--cap-drop=ALL", "--cap-add=NET_RAW", "--security-opt=no-new-privileges", "--memory=64m", "--env=A=1"];
    let container = docker.background(&flags, "sleep 100");
    assert_eq!(container.exec(&[], "echo $A; cat /proc/1/comm").ok(), "1\nsleep");
    container.exec(&[], "exit 7").exits(7);
    container.exec(&[], "kill -9 $$").exits(137);
    let flags = ["--user=1000:100", "--workdir=/tmp", "--env=B=2"];
    assert_eq!(container.exec(&flags, "id -u; id -g; pwd; echo $A$B").ok(), "1000\n100\n/tmp\n12");
    // All that confines the container confines it too.
    for (what, words) in [
        ("/proc/self/status", "CapBnd:\t0000000000002000"),
        ("/proc/self/status", "NoNewPrivs:\t1"),
        ("/proc/self/status", "Seccomp:\t2"),
        ("/proc/self/cgroup", &format!(":memory:/{}/{}", docker.cgroup_parent(), container.id)),
    ] {
        let text = container.exec(&[], &format!("cat {what}")).ok();
        assert!(text.contains(words), "{words} not in {text}");
    }
    let input = docker.cli(&["exec", &container.id, "true"]).exits(0);
    assert_eq!(input.out, "");
    let mut cat = docker.command(&["exec", "--interactive", &container.id, "wc", "-c"]);
    assert_eq!(run_with_input(&mut cat, &[b'x'; 100_000]).ok(), "100000");
    docker.cli(&["exec", "--detach", &container.id, "sh", "-c", "echo later > /tmp/later"]).ok();
    let wait = "for i in 1 2 3 4 5 6 7 8 9; do cat /tmp/later && exit; sleep 0.2; done 2>/dev/null";
    assert_eq!(container.exec(&[], wait).ok(), "later");
    assert!(container.exec(&["--privileged"], "grep CapEff /proc/self/status").ok() > "CapEff:\t0000001".into());
}

pub fn exec_with_a_terminal(docker: &Docker) {
    requires!(program "script");
    let container = docker.background(&[], "sleep 100");
    let words = docker.words(&format!("exec -it --user 1000 {} sh", container.id));
    let on_terminal = format!("stty rows 21 cols 91; exec {words}");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &on_terminal, "/dev/null"]);
    let done = run_with_input(&mut command, b"id -u\ntty\nsleep 1\nstty size\nexit 9\n").exits(9);
    let lines: Vec<&str> = done.out.lines().map(str::trim).collect();
    for line in ["1000", "/dev/pts/0", "21 91"] {
        assert!(lines.contains(&line), "no {line:?}: {done}");
    }
}

pub fn exec_that_cannot_run(docker: &Docker) {
    let container = docker.background(&[], "sleep 100");
    for (program, words) in [
        ("/no/such", "no such file or directory"),
        ("nosuch", "executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
    ] {
        let done = docker.cli(&["exec", &container.id, program]);
        // Docker 20.10 has 126 for all of them, later ones tell them apart.
        assert!([126, 127].contains(&done.code), "{program}: {done}");
        assert!(format!("{}{}", done.out, done.err).contains(words), "{program}: {done}");
    }
    assert_eq!(container.field(".State.Running"), "true");
    container.cli(&["stop", "--time=0"]).ok();
    container.exec(&[], "true").exits(1);
}
