//! One line.

use serde::Serialize;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zviz_dns::Verdict;

/// The longest rule or container that is written, in bytes: both are words of a profile's or an engine's.
const WORDS: usize = 1024;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line<'a> {
    /// A connection began, or was refused.
    Connection(Connection<'a>),
    /// A name was asked for.
    Name {
        /// `allow` or `deny`.
        verdict: &'static str,
        /// The profile's key.
        rule: &'a str,
        /// The name, each of whose characters prints.
        name: &'a str,
        /// The type of record: 1 is A, 28 AAAA.
        kind: u16,
        /// Why it was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Lines are missing here.
    Dropped {
        /// How many.
        records: u64,
    },
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection<'a> {
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// The profile's key.
    pub rule: &'a str,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or a number.
    pub protocol: &'a str,
    /// Who began it, if it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The address.
    pub to: IpAddr,
    /// The port, of TCP and UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The name that was asked for and led there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

#[derive(Serialize)]
struct Timed<'a> {
    time: String,
    container: String,
    #[serde(flatten)]
    line: &'a Line<'a>,
}

/// In words.
pub(in crate::serve) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
    }
}

impl Line<'_> {
    /// With the time, the container and the line's end.
    pub(in crate::serve) fn bytes(&self, container: &str) -> Vec<u8> {
        // A clock before 1970 is not worth failing for.
        let time = time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let container: String = container.escape_debug().take(WORDS).collect();
        // Memory does not fail to be written to, and no part of a line refuses to be serialized.
        let mut bytes = serde_json::to_vec(&Timed { time, container, line: self }).unwrap_or_else(|_| b"{}".to_vec());
        bytes.push(b'\n');
        bytes
    }
}

/// RFC 3339, in UTC, to the microsecond. Days become a date of the Gregorian calendar by counting whole years and months.
fn time(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = since_epoch.subsec_micros();
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_795_221_495, "2026-11-21T00:38:15.000000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_line_is_one_object() {
        let connection = Line::Connection(Connection {
            verdict: "allow",
            rule: "network.allow_domains[0]",
            protocol: "tcp",
            from: None,
            to: "1.2.3.4".parse().unwrap(),
            port: Some(443),
            name: Some("crates.io"),
        });
        let line = String::from_utf8(connection.bytes("a\n\u{1b}")).unwrap();
        let (time, rest) = line.split_once(",\"container\"").unwrap();
        assert_eq!(time.len(), "{\"time\":\"1970-01-01T00:00:00.000000Z\"".len());
        assert_eq!(
            rest,
            ":\"a\\\\n\\\\u{1b}\",\"event\":\"connection\",\"verdict\":\"allow\",\"rule\":\"network.allow_domains[0]\",\
             \"protocol\":\"tcp\",\"to\":\"1.2.3.4\",\"port\":443,\"name\":\"crates.io\"}\n"
        );
    }
}
