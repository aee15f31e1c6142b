//! Commands that end.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// Exit code, or 128 and the signal.
    pub code: i32,
    /// Standard output, without white space at its ends.
    pub out: String,
    /// Standard error, likewise.
    pub err: String,
}

impl Done {
    /// The output of a command that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        self.exits(0).out
    }

    /// That it ended so.
    #[track_caller]
    pub fn exits(self, code: i32) -> Done {
        assert!(self.code == code, "wanted exit code {code}: {self}");
        self
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// Runs it without input.
#[track_caller]
pub fn run(command: &mut Command) -> Done {
    run_with_input(command, b"")
}

/// Runs it. A command that takes longer than a minute is killed, and that is a failure.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Done {
    let words = format!("{command:?}");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = input.to_vec();
    // Dropped when all is written. A command need not read it.
    let writer = thread::spawn(move || stdin.take().map(|mut stdin| stdin.write_all(&input)));
    let out = thread::spawn(move || text(stdout));
    let err = thread::spawn(move || text(stderr));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{words} did not end");
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let _ = writer.join();
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Done { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn text(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    let _ = from.map(|mut from| from.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Copies a program that will be run. By another process: one that a test beside this one starts would have the copy open for
/// writing for a moment, and then it cannot be executed.
pub fn copied(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    run(Command::new("cp").arg(from.as_ref()).arg(to.as_ref())).ok();
}
