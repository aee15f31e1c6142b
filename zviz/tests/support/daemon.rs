//! A program in the background that ends with the test.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Asked to end when it is dropped, also by a panic, and killed if it does not.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, with its output in the file `log`. The kernel asks it to end if the test is killed.
    pub fn start(command: &Command, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        // setpriv(1), since the standard library has no word for it.
        let mut leashed = Command::new("setpriv");
        leashed.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leashed.env(name, value),
                None => leashed.env_remove(name),
            };
        }
        let child = leashed.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Daemon { child, log: log.to_path_buf() }
    }

    /// Waits until it answers. # Panics if it ends, or does not within a minute.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut answers: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !answers() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{what}: {ended:?}\n{}", self.log_end());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        for _ in 0..300 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
