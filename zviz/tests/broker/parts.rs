//! The processes of a running sandbox's broker, as the host sees them.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

/// What the host's proc says of a process.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub name: String,
    pub state: char,
}

impl Process {
    /// A line of its status, without the key.
    pub fn status(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    }

    /// Whether it stands in a pid namespace below the host's.
    pub fn is_inside(&self) -> bool {
        self.status("NSpid").is_some_and(|pids| pids.split_whitespace().count() > 1)
    }

    pub fn kill(&self, signal: i32) {
        let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal);
    }
}

/// All there are.
pub fn processes() -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    numbers.filter_map(process).collect()
}

fn process(pid: i32) -> Option<Process> {
    // Pid, name in parentheses, state, parent.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (start, rest) = stat.rsplit_once(')')?;
    let name = start.split_once('(')?.1.to_owned();
    let mut fields = rest.split_whitespace();
    Some(Process { pid, name, state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

/// A broker.
#[derive(Debug)]
pub struct Broker {
    pub eyes: Process,
    pub hands: Process,
    /// Those that do calls.
    pub crew: Vec<Process>,
}

impl Broker {
    /// Of the sandbox that this `zviz run` has made; none while it is not up, or when it is gone.
    pub fn of(zviz: i32) -> Option<Broker> {
        let all = processes();
        let child =
            |of: i32, name: &str| all.iter().find(|p| p.parent == of && p.name == name && p.state != 'Z').cloned();
        let eyes = child(zviz, "zviz-eyes")?;
        let hands = child(eyes.pid, "zviz-hands")?;
        let crew: Vec<_> = all.iter().filter(|p| p.parent == hands.pid && p.state != 'Z').cloned().collect();
        Some(Broker { eyes, hands, crew })
    }

    /// As `of`, once it is up.
    pub fn wait_for(zviz: &Child) -> Broker {
        until("the broker is up", Duration::from_secs(10), || Broker::of(zviz.id() as i32))
    }
}

/// Tries again until there is something.
#[track_caller]
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
