//! A ruleset in the words of nft(8): what `nft -f` loads, and what `zviz compile` writes.

use super::{Action, Chain, Family, Holds, Hook, Kind, Match, Part, Rule, Ruleset, Set};
use crate::address::{Network, Ports};
use std::fmt::{Display, Formatter, Result};
use std::net::IpAddr;

impl Display for Ruleset {
    /// It replaces a table of its name: made so that it is there, taken away, made.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let table = &self.table;
        writeln!(f, "table inet {table}\ndelete table inet {table}\n\ntable inet {table} {{")?;
        let mut first = true;
        let mut apart = |f: &mut Formatter<'_>| if std::mem::take(&mut first) { Ok(()) } else { writeln!(f) };
        for set in &self.sets {
            apart(f)?;
            write!(f, "{set}")?;
        }
        for chain in &self.chains {
            apart(f)?;
            write!(f, "{chain}")?;
        }
        for part in &self.parts {
            apart(f)?;
            write!(f, "{part}")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = match self.family {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        };
        let (name, size) = (&self.name, self.size);
        let by_rules = |seconds: u32| format!("dynamic,timeout\n\t\ttimeout {seconds}s");
        let (ports, flags) = match self.holds {
            Holds::Addresses => ("", "timeout".to_owned()),
            Holds::Noted(seconds) => ("", by_rules(seconds)),
            Holds::Peers(seconds) => (" . inet_service . inet_service", by_rules(seconds)),
        };
        writeln!(f, "\tset {name} {{\n\t\ttype {kind}{ports}\n\t\tsize {size}\n\t\tflags {flags}\n\t}}")
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = match self.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        let policy = if self.drops { "drop" } else { "accept" };
        writeln!(f, "\tchain {} {{", self.name)?;
        writeln!(f, "\t\ttype {kind} hook {hook} priority {}; policy {policy};", self.priority)?;
        for rule in &self.rules {
            writeln!(f, "\t\t{rule}")?;
        }
        writeln!(f, "\t}}")
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        for rule in &self.rules {
            writeln!(f, "\t\t{rule}")?;
        }
        writeln!(f, "\t}}")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut words = Vec::new();
        let (mut protocol, mut family) = (None, None);
        for is in &self.matches {
            match is {
                Match::Protocol(number) => protocol = Some(*number),
                Match::Family(of) => family = Some(*of),
                _ => {}
            }
            words.push(matched(is, protocol, family));
        }
        words.extend(self.actions.iter().map(|action| done(action, family)));
        write!(f, "{}", words.join(" "))?;
        self.comment.as_ref().map_or(Ok(()), |comment| write!(f, " comment \"{comment}\""))
    }
}

fn matched(is: &Match, protocol: Option<u8>, family: Option<Family>) -> String {
    match is {
        Match::Established => "ct state established".into(),
        Match::Related => "ct state related".into(),
        Match::New => "ct state new".into(),
        Match::Invalid => "ct state invalid".into(),
        Match::From(device) => format!("{} \"{device}\"", by("iif", device)),
        Match::NotFrom(device) => format!("{} != \"{device}\"", by("iif", device)),
        Match::To(device) => format!("{} \"{device}\"", by("oif", device)),
        Match::NotTo(device) => format!("{} != \"{device}\"", by("oif", device)),
        Match::Family(Family::V4) => "meta nfproto ipv4".into(),
        Match::Family(Family::V6) => "meta nfproto ipv6".into(),
        Match::Destination(network) => addressed("daddr", network),
        Match::Source(network) => addressed("saddr", network),
        Match::DestinationIn(set, Family::V4) => format!("ip daddr @{set}"),
        Match::DestinationIn(set, Family::V6) => format!("ip6 daddr @{set}"),
        Match::Answers(set) => format!("{} daddr . th dport . th sport @{set}", words_of(family)),
        Match::Protocol(number) => format!("meta l4proto {number}"),
        Match::Port(ports) => format!("th dport {}", range(ports)),
        Match::FromPort(ports) => format!("th sport {}", range(ports)),
        Match::IcmpType(kind) if protocol == Some(super::expand::ICMP) => format!("icmp type {kind}"),
        Match::IcmpType(kind) => format!("icmpv6 type {kind}"),
        Match::GoesOn => "tcp flags & (syn | ack) != syn".into(),
        Match::Straight if family == Some(Family::V6) => "exthdr rt missing".into(),
        Match::Straight => "@nh,0,8 69".into(),
        Match::Redirected => "ct status dnat".into(),
        Match::Local => "fib daddr type local".into(),
        Match::Remote => "fib daddr type != local".into(),
        Match::Foreign => "fib saddr type != local".into(),
        Match::ConnectionsOver(most) => format!("ct count over {most}"),
        Match::RateOver { per_second, burst } => format!("limit rate over {per_second}/second burst {burst} packets"),
        Match::RateWithin { per_second, burst } => format!("limit rate {per_second}/second burst {burst} packets"),
    }
}

fn done(action: &Action, family: Option<Family>) -> String {
    match action {
        Action::Count => "counter".into(),
        Action::Report { group, prefix } => format!("log prefix \"{prefix}\" group {group}"),
        Action::Remember(set) => format!("update @{set} {{ {} saddr . th sport . th dport }}", words_of(family)),
        Action::Renew(set) => format!("update @{set} {{ {} daddr . th dport . th sport }}", words_of(family)),
        Action::Note(set) => format!("update @{set} {{ {} daddr }}", words_of(family)),
        Action::Forget(set) => {
            let family = words_of(family);
            format!("delete @{set} {{ {family} saddr }} delete @{set} {{ {family} daddr }}")
        }
        Action::Untrack => "notrack".into(),
        Action::Accept => "accept".into(),
        Action::Jump(part) => format!("jump {part}"),
        Action::Goto(part) => format!("goto {part}"),
        Action::Drop => "drop".into(),
        Action::Reject => "reject with icmpx type admin-prohibited".into(),
        Action::Reset => "reject with tcp reset".into(),
        Action::Redirect { to: IpAddr::V4(to), port } => format!("dnat ip to {to}{}", behind(*port)),
        Action::Redirect { to: IpAddr::V6(to), port: None } => format!("dnat ip6 to {to}"),
        Action::Redirect { to: IpAddr::V6(to), port } => format!("dnat ip6 to [{to}]{}", behind(*port)),
        Action::Masquerade => "masquerade".into(),
    }
}

/// The loopback device has the same number in every namespace, which the kernel compares faster than a name.
fn by(end: &str, device: &str) -> String {
    if device == super::inside::LOOPBACK { end.to_owned() } else { format!("{end}name") }
}

fn words_of(family: Option<Family>) -> &'static str {
    if family == Some(Family::V6) { "ip6" } else { "ip" }
}

fn behind(port: Option<u16>) -> String {
    port.map_or(String::new(), |port| format!(":{port}"))
}

fn addressed(which: &str, network: &Network) -> String {
    let family = if network.address().is_ipv4() { "ip" } else { "ip6" };
    format!("{family} {which} {network}")
}

fn range(ports: &Ports) -> String {
    let (first, last) = (ports.first(), ports.last());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
