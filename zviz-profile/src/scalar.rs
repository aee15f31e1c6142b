//! What a word of a profile means, by its kind.

use crate::nearest::nearest;
use crate::schema::Kind;
use crate::{calls, ioctls, quantity};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use zviz_network::address::Peers;

/// Why a word cannot stand where it does.
pub(crate) struct Wrong {
    pub what: String,
    /// What may have been meant.
    pub meant: Option<String>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Wrong {
        Wrong { what, meant: None }
    }
}

/// The longest word, in bytes: a path.
const LONGEST: usize = 4096;

pub(crate) fn read(kind: Kind, text: &str) -> Result<Json, Wrong> {
    if text.len() >= LONGEST || text.contains(['\0', '\n', '\r']) {
        return Err(format!("must be one line of less than {LONGEST} bytes").into());
    }
    let must = || Wrong::from(format!("must be {}, not {text:?}", kind.words()));
    match kind {
        Kind::Text => Ok(json!(text)),
        Kind::Name if is_name(text) => Ok(json!(text)),
        Kind::Name => {
            Err("must be letters, digits, '.', '_' and '-', at most 64, and begin with a letter".to_owned().into())
        }
        Kind::Flag => text.parse::<bool>().map(Json::from).map_err(|_| must()),
        Kind::Word(words) if words.contains(&text) => Ok(json!(text)),
        Kind::Word(words) => {
            let meant = nearest(text, words.iter().copied()).map(str::to_owned);
            Err(Wrong { meant, what: format!("must be one of {}, not {text:?}", words.join(", ")) })
        }
        Kind::Count(from, to) => {
            let value = text.parse::<u64>().ok().filter(|value| (from..=to).contains(value));
            value.map(Json::from).ok_or_else(must)
        }
        Kind::Size => quantity::bytes(text).map(Json::from).map_err(|why| of(why, text)),
        Kind::Time => milliseconds(text),
        Kind::Milliseconds => match text.parse::<u64>() {
            Ok(0) => Err(must()),
            Ok(value) => Ok(json!(value)),
            Err(_) => milliseconds(text),
        },
        Kind::Cpu => cpu(text),
        Kind::Path => path(text).map(Json::from).map_err(Wrong::from),
        Kind::Glob => glob(text).map(Json::from).map_err(Wrong::from),
        Kind::Peers => match Peers::try_from(text.to_owned()) {
            Ok(peers) => Ok(json!(peers.to_string())),
            Err(what) => Err(format!("must be {}: {what}", kind.words()).into()),
        },
        Kind::Host => host(text).map(Json::from).ok_or_else(must),
        Kind::Server => text.parse::<SocketAddr>().map(|server| json!(server.to_string())).map_err(|_| must()),
        Kind::Port => ports(text).map(|(from, to)| json!([from, to])).ok_or_else(must),
        Kind::Device => device(text).map(|(major, minor)| json!([major, minor])).ok_or_else(must),
        Kind::Call => calls::read(text).map(Json::from),
        Kind::Command => ioctls::read(text).map(Json::from).ok_or_else(must),
        Kind::Capability => capability(text),
        Kind::List(_) | Kind::Map(_) => Err(must()),
    }
}

fn of(why: String, text: &str) -> Wrong {
    if why.starts_with("unknown") { why.into() } else { format!("{text:?} {why}").into() }
}

fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix(|first: char| first.is_ascii_alphabetic());
    rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        && text.len() <= 64
        && !text.contains("..")
}

fn milliseconds(text: &str) -> Result<Json, Wrong> {
    let time = quantity::duration(text).map_err(|why| of(why, text))?;
    let value = u64::try_from(time.as_millis()).ok().filter(|value| *value > 0);
    value.map(Json::from).ok_or_else(|| "is too short".to_owned().into())
}

/// The most processors that a kernel can be built for: NR_CPUS.
const MOST_CPUS: u64 = 8192;

/// Quota and period in microseconds. The kernel takes periods from 1 ms to 1 s, and quotas from 1 ms.
fn cpu(text: &str) -> Result<Json, Wrong> {
    const PERIOD: u64 = 100_000;
    let (quota, period) = match text.split_once(' ') {
        Some((quota, period)) => {
            let (quota, period) = (quota.trim().parse().ok(), period.trim().parse().ok());
            quota.zip(period).ok_or_else(|| format!("{text:?} is not quota and period in microseconds"))?
        }
        None => {
            let millicpus = quantity::millicpus(text).map_err(|why| of(why, text))?;
            if millicpus > MOST_CPUS * 1000 {
                let what = format!("{text:?} is more processors than there can be");
                return Err(Wrong { what, meant: Some(format!("\"{text} {PERIOD}\", a quota with its period")) });
            }
            (millicpus.saturating_mul(PERIOD / 1000), PERIOD)
        }
    };
    if !(1_000..=1_000_000).contains(&period) || quota < 1_000 {
        return Err("needs a quota of at least 1000 and a period of 1000 to 1000000 microseconds".to_owned().into());
    }
    Ok(json!([quota, period]))
}

fn path(text: &str) -> Result<&str, String> {
    if !text.starts_with('/') && text != "~" && !text.starts_with("~/") {
        return Err(format!("{text:?} is not an absolute path, nor one below ~/"));
    }
    if text.split('/').any(|part| matches!(part, "." | ".."))
        || text.contains("//")
        || text.len() > 1 && text.ends_with('/')
    {
        return Err(format!("{text:?} holds an empty part, \".\" or \"..\""));
    }
    Ok(text)
}

fn glob(text: &str) -> Result<String, String> {
    if text.contains(['?', '[', '{']) {
        return Err(format!("{text:?}: in patterns * and ** stand for others, and nothing else does"));
    }
    if text.starts_with('/') || text.starts_with("~/") || text == "~" {
        return path(text).map(str::to_owned);
    }
    match text.split_once('/') {
        None if !text.is_empty() && !matches!(text, "." | "..") => Ok(format!("**/{text}")),
        Some(("**", rest)) => path(&format!("/{rest}")).map(|_| text.to_owned()),
        _ => Err(format!("{text:?} begins neither with / nor with ~/ nor with **/, and is more than a name")),
    }
}

/// In lower case. What ends in digits is an address, or nearly.
fn host(text: &str) -> Option<String> {
    let (name, port) = text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if port.is_some_and(|port| ports(port).is_none()) {
        return None;
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit());
    (name.len() <= 253 && name.split('.').all(label) && !number).then(|| text.to_ascii_lowercase())
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from > 0 && from <= to).then_some((from, to))
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn capability(text: &str) -> Result<Json, Wrong> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    match name.parse::<caps::Capability>() {
        Ok(known) => Ok(json!(known.to_string())),
        Err(_) => {
            let all: Vec<String> = caps::all().iter().map(|known| known.to_string().to_lowercase()).collect();
            let meant = nearest(&name, all.iter().map(String::as_str));
            Err(Wrong { meant: meant.map(str::to_uppercase), what: format!("there is no capability {text:?}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(kind: Kind, text: &str) -> Option<String> {
        read(kind, text).ok().map(|value| value.to_string())
    }

    #[test]
    fn words_mean_what_their_kind_says() {
        for (kind, text, expected) in [
            (Kind::Cpu, "2", Some("[200000,100000]")),
            (Kind::Cpu, "50000 100000", Some("[50000,100000]")),
            (Kind::Cpu, "5 100000", None),
            (Kind::Cpu, "50000", None),
            (Kind::Glob, "*.conf", Some("\"**/*.conf\"")),
            (Kind::Glob, "**/.git/hooks/**", Some("\"**/.git/hooks/**\"")),
            (Kind::Glob, "a/b", None),
            (Kind::Path, "~/.cargo", Some("\"~/.cargo\"")),
            (Kind::Path, "/a/../b", None),
            (Kind::Peers, "10.0.0.0/8", Some("\"10.0.0.0/8\"")),
            (Kind::Peers, "::1", Some("\"::1/128\"")),
            (Kind::Peers, "10.0.0.0/33", None),
            (Kind::Peers, "10.0.0.1/8", None),
            (Kind::Peers, "tcp/10.0.0.1:5432", Some("\"tcp/10.0.0.1/32:5432\"")),
            (Kind::Peers, "[fd00::/8]:8000-8099", Some("\"[fd00::/8]:8000-8099\"")),
            (Kind::Peers, "icmp/10.0.0.0/8:80", None),
            (Kind::Host, "*.crates.io:443", Some("\"*.crates.io:443\"")),
            (Kind::Host, "Crates.IO:8000-8099", Some("\"crates.io:8000-8099\"")),
            (Kind::Host, "a..b", None),
            (Kind::Host, "10.0.0.1", None),
            (Kind::Host, "crates.io.", None),
            (Kind::Host, "*", None),
            (Kind::Host, "a.*.b", None),
            (Kind::Port, "8000-8099", Some("[8000,8099]")),
            (Kind::Port, "0", None),
            (Kind::Device, "8:0", Some("[8,0]")),
            (Kind::Capability, "net_bind_service", Some("\"CAP_NET_BIND_SERVICE\"")),
            (Kind::Capability, "CAP_EVERYTHING", None),
            (Kind::Flag, "yes", None),
            (Kind::Time, "1m30s", Some("90000")),
            (Kind::Milliseconds, "200", Some("200")),
            (Kind::Milliseconds, "2s", Some("2000")),
            (Kind::Server, "10.0.0.53:53", Some("\"10.0.0.53:53\"")),
            (Kind::Name, "a/b", None),
            (Kind::Name, "..", None),
        ] {
            assert_eq!(ok(kind, text).as_deref(), expected, "{text}");
        }
    }
}
