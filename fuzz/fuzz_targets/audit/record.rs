//! Any bytes as what a workload passes to a system call: one line of printable JSON, out of which they can be had back,
//! and one entry of journald with the fields that we gave it.
//!
//! The input is split at each byte 0xfe. The first field is the container's name, the second the rule; each further one
//! is an argument, whose first byte says of which kind.

use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use zviz_broker::audit::{Address, Argument, Ask, Decision, Event, Verdict};

/// The longest string that a record keeps.
const LONGEST: usize = 4096;
/// Less than a datagram of the default size, which holds the line and its fields.
const RECORD: usize = 160 << 10;
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Panics if the record of this call is not what it must be.
pub fn check(data: &[u8]) {
    let mut fields = data.split(|b| *b == 0xfe);
    let mut text = || String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    let (container, rule) = (text(), text());
    let given: Vec<_> = fields.take(NAMES.len()).map(argument).collect();
    let (kind, flags, list) = (data.len() % 3, [NAMES[0]; 3], given.clone());
    let mut arguments: Vec<_> = NAMES.into_iter().zip(given).collect();
    arguments.push(("flags", Argument::Flags(&flags, data.len() as u64)));
    arguments.push(("list", Argument::List(&list)));
    let (pid, syscall, arguments) = (1, "mount", &arguments[..]);
    let verdict = if data.len().is_multiple_of(2) { Verdict::Failed(&rule) } else { Verdict::Value };
    let (container, by, rule, latency) = (&*container, &*rule, Some(&*rule), Duration::MAX);
    let ask = Ask { container, id: u64::MAX, pid, syscall, arguments, rule };
    let event = match kind {
        0 => Event::Asked(ask),
        1 => Event::Answered { ask, by, verdict, latency },
        _ => Event::Decision(Decision { container, pid, syscall, arguments, verdict, rule, latency }),
    };
    let json = check_line(&event.to_line());
    assert_eq!(json["container"].as_str().map(original), Some(cut(container.as_bytes(), LONGEST / 4)));
    for (name, argument) in arguments {
        if let Argument::Path(path) = argument {
            let (kept, missing) = original(json["arguments"][name].as_str().expect("a string"));
            assert!(path.starts_with(&kept) && kept.len() + missing == path.len(), "{name}");
        }
    }
    check_entry(&event.to_journal_entry());
}

fn argument(field: &[u8]) -> Argument<'_> {
    let Some((kind, rest)) = field.split_first() else { return Argument::Number(i64::MIN) };
    let number = rest.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    match kind {
        b'n' => Argument::Number(number as i64),
        b'u' => Argument::Unsigned(number),
        b's' => Argument::Address(Address::Unix(rest)),
        b'a' => Argument::Address(Address::Abstract(rest)),
        b'4' => Argument::Address(Address::Internet(SocketAddr::new(IpAddr::from((number as u32).to_be_bytes()), 80))),
        b'6' => {
            Argument::Address(Address::Internet(SocketAddr::new(IpAddr::from(u128::from(number).to_be_bytes()), 1)))
        }
        b'f' => Argument::Address(Address::Family(number as u16)),
        _ => Argument::Path(rest),
    }
}

fn check_line(line: &[u8]) -> Value {
    let (end, json) = line.split_last().expect("not empty");
    assert_eq!(*end, b'\n');
    assert!(line.len() < RECORD, "{}", line.len());
    let json = str::from_utf8(json).expect("UTF-8");
    assert!(json.chars().all(|c| matches!(c, ' '..='~') || c.escape_debug().eq([c])), "{json:?}");
    serde_json::from_str(json).expect("JSON")
}

fn check_entry(mut entry: &[u8]) {
    assert!(entry.len() < RECORD, "{}", entry.len());
    let mut keys = Vec::new();
    while let Some(end) = entry.iter().position(|b| *b == b'\n') {
        let field = &entry[..end];
        let equals = field.iter().position(|b| *b == b'=').expect("no value has a line's end");
        let key = str::from_utf8(&field[..equals]).expect("UTF-8");
        if key == "MESSAGE" {
            assert!(serde_json::from_slice::<Value>(&field[equals + 1..]).is_ok());
        }
        keys.push(key);
        entry = &entry[end + 1..];
    }
    assert!(entry.is_empty());
    keys.retain(|key| *key != "ZVIZ_VERDICT");
    let all = ["MESSAGE", "SYSLOG_IDENTIFIER", "PRIORITY", "ZVIZ_TYPE", "ZVIZ_CONTAINER", "ZVIZ_SYSCALL", "ZVIZ_RULE"];
    assert_eq!(keys, all);
}

fn cut(bytes: &[u8], keep: usize) -> (Vec<u8>, usize) {
    let kept = keep.min(bytes.len());
    (bytes[..kept].to_vec(), bytes.len() - kept)
}

/// The bytes that an escaped string shows, and how many it says were cut.
fn original(text: &str) -> (Vec<u8>, usize) {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let (escape, after) = after.split_at(1);
        rest = after;
        let braced = || after.strip_prefix('{').and_then(|after| after.split_once('}')).expect("braces");
        match escape {
            "x" => {
                bytes.push(u8::from_str_radix(&after[..2], 16).expect("two digits"));
                rest = &after[2..];
            }
            "u" => {
                let c = u32::from_str_radix(braced().0, 16).ok().and_then(char::from_u32).expect("a character");
                bytes.extend(c.to_string().as_bytes());
                rest = braced().1;
            }
            "{" => {
                let count = after.strip_prefix('+').and_then(|after| after.strip_suffix(" bytes}"));
                return (bytes, count.and_then(|count| count.parse().ok()).expect("a count, at the end"));
            }
            _ => bytes.push(match escape {
                "n" => b'\n',
                "r" => b'\r',
                "t" => b'\t',
                "0" => 0,
                "\\" => b'\\',
                other => panic!("{other}"),
            }),
        }
    }
    bytes.extend(rest.as_bytes());
    (bytes, 0)
}
