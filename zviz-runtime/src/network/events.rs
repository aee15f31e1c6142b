//! Connections as they come: lines of JSON that the helper writes, read while the container runs.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use zviz_broker::audit::text::Text;
use zviz_broker::audit::{FileSet, Sink};

/// The longest word that is shown, in bytes.
const LONGEST: usize = 512;
/// How many refusals are kept.
const MOST: usize = 256;
/// How long after the container's end its helper may take to end, too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Until files are tried again that another has for a moment.
const AGAIN: Duration = Duration::from_millis(2);

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A connection began, or was refused.
    Connection {
        /// `allow` or `deny`.
        verdict: String,
        /// The profile's key.
        rule: String,
        /// `tcp`, `udp`, `icmp`, `icmpv6`, or a number.
        protocol: String,
        /// Who began it, if it came in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
        /// Whom it is for.
        to: IpAddr,
        /// The port, of TCP and UDP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// The name that was asked for and led there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A name was asked for.
    Name {
        /// `allow` or `deny`.
        verdict: String,
        /// The profile's key.
        rule: String,
        /// The name.
        name: String,
        /// The type of record: 1 is A, 28 AAAA.
        kind: u16,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The program that the sandbox's network comes by has ended, and the sandbox has not.
    Ended {
        /// Which.
        program: String,
    },
    /// Events are missing here.
    Dropped {
        /// How many.
        records: u64,
    },
}

impl Event {
    /// Whether it was refused.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let (Event::Connection { verdict, .. } | Event::Name { verdict, .. }) = self else { return false };
        verdict == "deny"
    }
}

impl fmt::Display for Event {
    /// One line: what became of it, the protocol, the name if one is known, address and port, the rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| Text::new(text.as_bytes(), LONGEST).to_string();
        match self {
            Event::Connection { verdict, rule, protocol, from, to, port, name } => {
                write!(f, "{} {}", shown(verdict), shown(protocol))?;
                if let Some(from) = from {
                    write!(f, " from {from}")?;
                }
                if let Some(name) = name {
                    write!(f, " {}", shown(name))?;
                }
                match port {
                    Some(port) => write!(f, " {}", SocketAddr::new(*to, *port))?,
                    None => write!(f, " {to}")?,
                }
                write!(f, " ({})", shown(rule))
            }
            Event::Name { verdict, rule, name, kind, why } => {
                let record = match kind {
                    1 => "A".to_owned(),
                    28 => "AAAA".to_owned(),
                    other => format!("type {other}"),
                };
                let why = why.as_ref().map(|why| format!(": {}", shown(why))).unwrap_or_default();
                write!(f, "{} name {} {record} ({}){why}", shown(verdict), shown(name), shown(rule))
            }
            Event::Ended { program } => {
                write!(f, "{} has ended: the sandbox has no way out any more", shown(program))
            }
            Event::Dropped { records } => write!(f, "{records} events are missing here"),
        }
    }
}

/// Who is told of each.
pub type Tell = fn(&Event);

/// Who is told what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tells {
    /// Of connections as they come.
    pub connections: Option<Tell>,
    /// That the network has gone before the sandbox.
    pub end: Option<Tell>,
}

/// A reader of events, in a thread of its own.
#[derive(Debug)]
pub struct Following {
    refused: Receiver<Vec<Event>>,
}

/// Reads events until their writer has gone. `tell` is told of each; `audit` takes each as it came.
pub fn follow(events: OwnedFd, tell: Option<Tell>, audit: Option<Sink>) -> Following {
    let mut audit = audit.map(Copy::to);
    let (send, refused) = channel();
    thread::spawn(move || {
        let mut kept: Vec<Event> = Vec::new();
        for line in BufReader::new(File::from(events)).split(b'\n').map_while(Result::ok) {
            let Ok(event) = serde_json::from_slice::<Event>(&line) else { continue };
            if let Some(audit) = &mut audit {
                audit.write(&[&line[..], b"\n"].concat());
            }
            if let Some(tell) = tell {
                tell(&event);
            }
            if event.is_refusal() && kept.len() < MOST && !kept.contains(&event) {
                kept.push(event);
            }
        }
        let _ = send.send(kept);
    });
    Following { refused }
}

/// Where a copy goes.
enum Copy {
    Files(FileSet),
    Stream(File),
}

impl Copy {
    fn to(sink: Sink) -> Copy {
        match sink {
            Sink::Files(files) => Copy::Files(files),
            Sink::Descriptor(to) | Sink::Journal(to) => Copy::Stream(to.into()),
        }
    }

    /// In one write, as other writers of the same do. There is nobody to tell if it cannot be written.
    fn write(&mut self, line: &[u8]) {
        match self {
            // At some time they are written to though another has them, so this ends.
            Copy::Files(files) => {
                while files.write(line) == Err(Errno::EAGAIN) {
                    thread::sleep(AGAIN);
                }
            }
            Copy::Stream(to) => drop(to.write_all(line)),
        }
    }
}

impl Following {
    /// What was refused, each once, after the container has ended.
    #[must_use]
    pub fn refused(self) -> Vec<Event> {
        self.refused.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"time":"2026-11-21T00:38:15.000000Z","container":"web","event":"connection","verdict":"allow","rule":"network.allow_domains[0]","protocol":"tcp","to":"1.2.3.4","port":443,"name":"crates.io"}"#,
        "\n",
        r#"{"time":"t","container":"web","event":"connection","verdict":"deny","rule":"guarded: private","protocol":"icmpv6","to":"fd00::1"}"#,
        "\nno line\n",
        r#"{"time":"t","container":"web","event":"name","verdict":"deny","rule":"network.allow_domains","name":"a.\\u{1b}b","kind":28,"why":"is not listed"}"#,
        "\n",
        r#"{"time":"t","container":"web","event":"dropped","records":3}"#,
        "\n",
    );

    #[test]
    fn lines_are_told_and_refusals_kept() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        let following = follow(read, Some(|_| ()), Some(Sink::Descriptor(copy.reopen().unwrap().into())));
        File::from(write).write_all(LINES.repeat(2).as_bytes()).unwrap();
        let refused: Vec<String> = following.refused().iter().map(ToString::to_string).collect();
        let expected = [
            "deny icmpv6 fd00::1 (guarded: private)",
            "deny name a.\\\\u{1b}b AAAA (network.allow_domains): is not listed",
        ];
        assert_eq!(refused, expected);
        assert_eq!(std::fs::read_to_string(copy.path()).unwrap().lines().count(), 8);
    }

    #[test]
    fn a_copy_in_files_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        let files = FileSet::open(folder.path(), "audit", 2000, 1).unwrap();
        let following = follow(read, None, Some(Sink::Files(files)));
        File::from(write).write_all(LINES.repeat(4).as_bytes()).unwrap();
        assert_eq!(following.refused().len(), 2);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (first, older) = (read("audit"), read("audit.1"));
        assert!(first.len() <= 2000 && older.len() <= 2000, "{} {}", first.len(), older.len());
        assert_eq!([older, first].concat().lines().count(), 16);
    }

    #[test]
    fn a_connection_is_one_line() {
        let event: Event = serde_json::from_str(LINES.lines().next().unwrap()).unwrap();
        assert_eq!(event.to_string(), "allow tcp crates.io 1.2.3.4:443 (network.allow_domains[0])");
        assert!(!event.is_refusal());
    }
}
