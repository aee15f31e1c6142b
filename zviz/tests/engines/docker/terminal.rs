//! Input, output, and terminals.

use super::daemon::Docker;
use crate::support::{requires, run_with_input};
use std::process::Command;

pub fn a_terminal(docker: &Docker) {
    requires!(program "script");
    let docker_run = docker.words("run --rm --network none -it box sh");
    let on_terminal = format!("stty rows 33 cols 77; exec {docker_run}");
    // The client sets the size when the container runs already.
    let script = b"tty\nsleep 1\nstty size\ntest -t 0 && test -t 1 && test -t 2 && echo $((40+2))\nexit 5\n";
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &on_terminal, "/dev/null"]);
    let done = run_with_input(&mut command, script).exits(5);
    let lines: Vec<&str> = done.out.lines().map(str::trim).collect();
    for line in ["/dev/pts/0", "33 77", "42"] {
        assert!(lines.contains(&line), "no {line:?}: {done}");
    }
}

pub fn input_and_output(docker: &Docker) {
    let done = docker.sh(&[], "echo out; echo err >&2").exits(0);
    assert_eq!((&*done.out, &*done.err), ("out", "err"));
    let input = vec![b'x'; 1 << 20];
    let done = docker.run_with_input(&["--interactive"], &["wc", "-c"], &input);
    assert_eq!(done.ok(), "1048576");
}
