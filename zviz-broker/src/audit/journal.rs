//! Entries of journald: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.
//!
//! `journalctl SYSLOG_IDENTIFIER=zviz -o cat` gives the same lines as a file has; `ZVIZ_CONTAINER=`, `ZVIZ_SYSCALL=`,
//! `ZVIZ_VERDICT=`, `ZVIZ_RULE=` and `ZVIZ_TYPE=` select among them.

use super::event::{Decision, Event, Verdict};
use super::text::words;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// syslog(3): what is worth a look, what somebody was refused, what just happened.
const WARNING: &str = "4";
const NOTICE: &str = "5";
const INFO: &str = "6";

/// Connects to the journald of this host.
///
/// # Errors
/// There is none.
pub fn connect() -> io::Result<OwnedFd> {
    connect_to(Path::new(SOCKET))
}

/// Connects to another one.
///
/// # Errors
/// connect(2).
pub fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket.into())
}

/// An entry whose message is the event's JSON.
pub(super) fn entry(event: &Event<'_>, json: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(json.len() + 256);
    field(&mut entry, "MESSAGE", json);
    field(&mut entry, "SYSLOG_IDENTIFIER", b"zviz");
    let (kind, priority) = kind(event);
    field(&mut entry, "PRIORITY", priority.as_bytes());
    field(&mut entry, "ZVIZ_TYPE", kind.as_bytes());
    let mut text = |key, value: &str| {
        field(&mut entry, key, words(value).to_string().as_bytes());
    };
    match event {
        Event::Decision(Decision { container, syscall, verdict, rule, .. }) => {
            text("ZVIZ_CONTAINER", container);
            text("ZVIZ_SYSCALL", syscall);
            text("ZVIZ_VERDICT", &verdict.to_string());
            rule.iter().for_each(|rule| text("ZVIZ_RULE", rule));
        }
        Event::Asked(ask) | Event::Answered { ask, .. } => {
            text("ZVIZ_CONTAINER", ask.container);
            text("ZVIZ_SYSCALL", ask.syscall);
            ask.rule.iter().for_each(|rule| text("ZVIZ_RULE", rule));
        }
        Event::BrokerStarted { container, .. }
        | Event::BrokerEnded { container, .. }
        | Event::PartDied { container, .. } => text("ZVIZ_CONTAINER", container),
        Event::Dropped { .. } => {}
    }
    entry
}

fn kind(event: &Event<'_>) -> (&'static str, &'static str) {
    let answer = |verdict: &Verdict<'_>| match verdict {
        Verdict::Allow | Verdict::Value | Verdict::Gone => INFO,
        Verdict::Errno(_) | Verdict::Killed => NOTICE,
        Verdict::Failed(_) => WARNING,
    };
    match event {
        Event::Decision(decision) => ("decision", answer(&decision.verdict)),
        Event::Asked(_) => ("asked", NOTICE),
        Event::Answered { verdict, .. } => ("answered", answer(verdict)),
        Event::BrokerStarted { .. } => ("broker_started", INFO),
        Event::BrokerEnded { .. } => ("broker_ended", INFO),
        Event::PartDied { .. } => ("part_died", WARNING),
        Event::Dropped { .. } => ("dropped", WARNING),
    }
}

/// `KEY=value`, or the form with a length, which may hold line ends.
fn field(entry: &mut Vec<u8>, key: &str, value: &[u8]) {
    entry.extend(key.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value);
    entry.push(b'\n');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use zviz_sys::Errno;

    /// The fields of an entry, as journald reads them.
    pub(in crate::audit) fn parse(mut entry: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut fields = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|b| matches!(b, b'=' | b'\n')).unwrap();
            let key = String::from_utf8(entry[..end].to_vec()).unwrap();
            assert!(key.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && !key.starts_with('_'), "{key}");
            let (start, length) = if entry[end] == b'=' {
                (end + 1, entry[end..].iter().position(|b| *b == b'\n').unwrap() - 1)
            } else {
                (end + 9, u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap()) as usize)
            };
            assert_eq!(entry[start + length], b'\n');
            assert!(fields.insert(key, entry[start..start + length].to_vec()).is_none());
            entry = &entry[start + length + 1..];
        }
        fields
    }

    #[test]
    fn values_with_line_ends_have_a_length() {
        let mut entry = Vec::new();
        field(&mut entry, "A", b"x=y");
        field(&mut entry, "B", b"x\nC=z\n");
        assert_eq!(entry, b"A=x=y\nB\n\x06\0\0\0\0\0\0\0x\nC=z\n\n");
        let fields = parse(&entry);
        assert_eq!((&fields["A"][..], &fields["B"][..]), (&b"x=y"[..], &b"x\nC=z\n"[..]));
    }

    #[test]
    fn fields_of_a_decision() {
        let decision = Decision {
            container: "a\nPRIORITY=0",
            pid: 7,
            syscall: "mount",
            arguments: &[],
            verdict: Verdict::Errno(Errno::EPERM),
            rule: Some("mounts.types"),
            latency: Duration::from_micros(9),
        };
        let fields = parse(&Event::Decision(decision).to_journal_entry());
        let field = |key: &str| str::from_utf8(&fields[key]).unwrap();
        assert_eq!(field("SYSLOG_IDENTIFIER"), "zviz");
        assert_eq!(field("PRIORITY"), "5");
        assert_eq!(field("ZVIZ_TYPE"), "decision");
        assert_eq!(field("ZVIZ_CONTAINER"), "a\\nPRIORITY=0");
        assert_eq!(field("ZVIZ_SYSCALL"), "mount");
        assert_eq!(field("ZVIZ_VERDICT"), "errno EPERM");
        assert_eq!(field("ZVIZ_RULE"), "mounts.types");
        let json: serde_json::Value = serde_json::from_slice(&fields["MESSAGE"]).unwrap();
        assert_eq!((&json["type"], &json["latency_us"]), (&"decision".into(), &9.into()));
    }
}
