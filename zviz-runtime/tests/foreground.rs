//! Waiting in the foreground: real processes, signals and terminals, through the example program.
#![allow(clippy::unwrap_used)] // a test may

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, OutputFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zviz_sys::{path, pty};

const PATIENCE: Duration = Duration::from_secs(30);

/// The example program: cargo builds it before the tests, beside them.
fn example() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    Command::new(path.join("examples/foreground"))
}

fn status(arguments: &[&str]) -> i32 {
    example().args(arguments).stdin(Stdio::null()).status().unwrap().code().unwrap()
}

/// Starts it, and waits for the payload's first line.
fn start(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = example().args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

fn signal(child: &Child, number: i32) {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    match Signal::try_from(number) {
        Ok(signal) => kill(pid, signal).unwrap(),
        // A real-time signal, which nix has no name for.
        Err(_) => {
            assert!(Command::new("kill").arg(format!("-{number}")).arg(pid.to_string()).status().unwrap().success())
        }
    }
}

#[test]
fn the_status_is_the_payloads() {
    assert_eq!(status(&["sh", "-c", "exit 5"]), 5);
    assert_eq!(status(&["sh", "-c", "kill -9 $$"]), 137);
    assert_eq!(status(&["--subreaper", "sh", "-c", "exit 6"]), 6);
    assert_eq!(status(&["--terminal", "sh", "-c", "exit 7"]), 7);
}

#[test]
fn signals_reach_the_payload() {
    for number in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGUSR1, libc::SIGTSTP, libc::SIGPIPE, 40] {
        let trap = format!("trap 'exit {}' {number}; echo ready; while :; do sleep 0.02; done", number + 10);
        let (mut child, _output) = start(&["sh", "-c", &trap]);
        signal(&child, number);
        assert_eq!(child.wait().unwrap().code(), Some(number + 10), "signal {number}");
    }
    let (mut child, _output) = start(&["sh", "-c", "echo ready; exec sleep 60"]);
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGTERM), "the default action");
}

#[test]
fn the_deadline_kills() {
    let start = Instant::now();
    assert_eq!(status(&["--timeout", "200", "sh", "-c", "trap '' TERM INT; while :; do sleep 0.02; done"]), 124);
    assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < PATIENCE);
    assert_eq!(status(&["--timeout", "60000", "sh", "-c", "exit 3"]), 3);
    assert_eq!(status(&["--terminal", "--timeout", "200", "sleep", "60"]), 124);
}

#[test]
fn a_subreaper_reaps_orphans() {
    let script = "sh -c 'sleep 0.2 & echo ready; echo $!'; read line";
    let mut child = example()
        .args(["--subreaper", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let orphan = format!("/proc/{}", lines.next().unwrap().unwrap());
    let start = Instant::now();
    while std::path::Path::new(&orphan).exists() {
        assert!(start.elapsed() < PATIENCE, "the orphan stays");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A caller at a terminal.
struct Caller {
    master: File,
    seen: String,
    child: Child,
    terminal: OwnedFd,
}

impl Caller {
    fn start(arguments: &[&str], size: (u16, u16)) -> Caller {
        let master = pty::open_in(path::open_path(c"/", 0).unwrap().as_fd()).unwrap();
        let terminal = pty::peer(master.as_fd()).unwrap();
        pty::set_size(master.as_fd(), size).unwrap();
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(example().get_program())
            .args(arguments)
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Caller { master: File::from(master), seen: String::new(), child, terminal }
    }

    /// Reads until `text` was seen, and forgets what came up to it.
    fn expect(&mut self, text: &str) {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {:?}", self.seen);
            let n = self.master.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        self.seen = self.seen.split_once(text).unwrap().1.to_owned();
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Its status, and all that was not yet seen.
    fn end(mut self) -> (i32, String) {
        let code = {
            // It may still have much to write: nobody else reads.
            let mut reader = self.master.try_clone().unwrap();
            let wait = std::thread::spawn(move || {
                let code = self.child.wait().unwrap().code().unwrap();
                let after = tcgetattr(&self.terminal).unwrap();
                let modes = after.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
                    && after.output_flags.contains(OutputFlags::OPOST);
                (code, modes)
            });
            let mut buffer = [0; 4096];
            loop {
                match reader.read(&mut buffer) {
                    Ok(n) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..n])),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            let (code, restored) = wait.join().unwrap();
            assert!(restored, "the terminal is not as it was");
            code
        };
        (code, self.seen)
    }
}

#[test]
fn a_terminal_is_handed_through() {
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && trap 'echo interrupted' INT && \
                  trap 'stty size' WINCH && echo ready && while ! read line; do :; done; echo \"got $line\"";
    let mut caller = Caller::start(&["--terminal", "sh", "-c", script], (31, 97));
    caller.expect("31 97\r\n");
    caller.expect("ready\r\n");
    caller.type_in("\u{3}");
    caller.expect("interrupted\r\n");
    pty::set_size(caller.master.as_fd(), (40, 120)).unwrap();
    caller.expect("40 120\r\n");
    caller.type_in("words\r");
    caller.expect("words\r\n");
    let (code, rest) = caller.end();
    assert_eq!((code, rest.as_str()), (0, "got words\r\n"));
}

#[test]
fn the_terminal_is_restored_after_a_signal() {
    let mut caller = Caller::start(&["--terminal", "sh", "-c", "echo ready; sleep 60"], (24, 80));
    caller.expect("ready\r\n");
    // setsid waits for the example: its only child.
    let id = caller.child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let pid = children.trim().parse::<i32>().unwrap_or(i32::try_from(id).unwrap());
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let (code, _) = caller.end();
    assert_eq!(code, 128 + libc::SIGTERM);
}

#[test]
fn no_trailing_output_is_lost() {
    let caller = Caller::start(&["--terminal", "seq", "1", "30000"], (24, 80));
    let (code, text) = caller.end();
    assert_eq!(code, 0);
    assert!(text.ends_with("\r\n29999\r\n30000\r\n"), "{:?}", &text[text.len().saturating_sub(40)..]);
    assert_eq!(text.lines().count(), 30000);
}

#[test]
fn output_to_a_pipe_keeps_its_line_ends_and_input_from_one_ends() {
    let mut child = example()
        .args(["--terminal", "sh", "-c", "stty -echo; echo ready; cat; echo end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child.stdin.take().unwrap().write_all(b"first\nno newline").unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\nno newlineend\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_does_not_block_the_payload() {
    let (mut child, output) = start(&["--terminal", "sh", "-c", "echo ready; seq 1 200000; exit 4"]);
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_terminal_may_be_closed_and_opened_again() {
    let script = "t=$(tty); echo ready; exec <&- >&- 2>&-; sleep 0.3; exec >$t; echo back";
    let (mut child, mut output) = start(&["--terminal", "sh", "-c", script]);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), child.wait().unwrap().code()), ("back\n", Some(0)));
}

#[test]
fn a_process_that_keeps_the_terminal_does_not_keep_the_caller() {
    let start = Instant::now();
    assert_eq!(status(&["--terminal", "sh", "-c", "trap '' HUP; sleep 20 & exit 2"]), 2);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_shared_terminals_interrupt_comes_once() {
    let script = "n=0; trap 'n=$((n+1))' INT; trap 'echo \"interrupts: $n\"; exit 0' TERM; echo ready; \
                  while :; do sleep 0.02; done";
    let mut caller = Caller::start(&["--shared", "sh", "-c", script], (24, 80));
    caller.expect("ready\r\n");
    caller.type_in("\u{3}");
    std::thread::sleep(Duration::from_millis(300));
    let id = caller.child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let pid = children.trim().parse::<i32>().unwrap_or(i32::try_from(id).unwrap());
    // By kill(2), this one is passed on.
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let (code, text) = caller.end();
    assert!(code == 0 && text.ends_with("interrupts: 1\r\n"), "{code} {text:?}");
}

/// Who runs a sandbox sees the end of its broker, whichever parts are killed in whatever order; and where a sandbox may go on
/// without it, it does.
#[test]
fn a_sandbox_whose_whole_broker_is_killed_ends_or_goes_on() {
    if !nix::unistd::geteuid().is_root() {
        return println!("SKIP a_sandbox_whose_whole_broker_is_killed_ends_or_goes_on: needs root");
    }
    let named = |parent: i32, name: &str| -> Option<i32> {
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let mut of = pids.filter(|pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let Some((before, after)) = stat.rsplit_once(')') else { return false };
            before.ends_with(&format!("({name}")) && after.split_whitespace().nth(1) == Some(&parent.to_string())
        });
        of.next()
    };
    for (flag, ends) in [("--kill", true), ("--degrade", false)] {
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let script = "echo ready; read line; uname -r; exit 7";
        let mut command = Command::new(path.join("examples/sandbox"));
        let mut child =
            command.args([flag, "sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let eyes = named(child.id().try_into().unwrap(), "zviz-eyes").unwrap();
        let hands = named(eyes, "zviz-hands").unwrap();
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for part in [eyes, hands] {
                kill(Pid::from_raw(part), signal).unwrap();
            }
        }
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(child.try_wait().unwrap().is_some(), ends, "{flag}");
        // It may have ended.
        let _ = child.stdin.take().unwrap().write_all(b"\n");
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(if ends { 137 } else { 7 }), "{flag}");
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{flag}: uname has told something");
    }
}
