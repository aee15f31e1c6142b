//! A ruleset as one transaction of nftables. nft(8); what nft(8) itself makes of the same text is the same.

mod action;
mod address;
mod condition;
mod others;
mod peer;
mod shared;

pub use others::others;

use crate::error::{Error, Result};
use crate::netfilter::Netfilter;
use crate::transaction::{Failure, Refused, Transaction};
use nftnl::expr::Expression;
use nftnl::set::Set;
use nftnl::{MsgType, ProtoFamily, Table};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use zviz_network::rules::{Chain, Family, Holds, Hook, Kind, Known, Match, Rule, Ruleset};
use zviz_nftnl::set::{Peer, remembered, timed};

/// The most bytes of a comment, as the ruleset promises.
const COMMENT: usize = 100;

/// The most bytes of a report's prefix. linux/netfilter/nf_log.h: NF_LOG_PREFIXLEN, less its zero byte.
const PREFIX: usize = 127;

/// The most bytes of a name. linux/netfilter/nf_tables.h: NFT_NAME_MAXLEN, less than what file names have room for.
const NAME: usize = 128;

/// A part of a ruleset, by its places.
#[derive(Debug, Clone, Copy)]
enum Part {
    Table,
    Set(usize),
    Chain(usize),
    Rule(usize, usize),
    Parted(usize, Option<usize>),
}

/// Sets of a table that rules look into.
enum Addresses<'a> {
    V4(Set<'a, Ipv4Addr>),
    V6(Set<'a, Ipv6Addr>),
    Peers4(Set<'a, Peer<Ipv4Addr>>),
    Peers6(Set<'a, Peer<Ipv6Addr>>),
}

/// The rule that is being made, and what is known of the packet: by what has led here, and its matches so far.
struct Draft<'a, 'r> {
    rule: nftnl::Rule<'r>,
    sets: &'a BTreeMap<&'a str, Addresses<'a>>,
    family: Option<Family>,
    protocol: Option<u8>,
    /// What the rule itself has asked for, on which the meaning of some of its other words depends.
    asked: Option<Family>,
    /// It asks for [`Match::Straight`], somewhere.
    straight: bool,
}

impl Draft<'_, '_> {
    fn add(&mut self, expression: &impl Expression) {
        self.rule.add_expr(expression);
    }
}

/// Puts a ruleset in force, instead of what its table held before.
///
/// # Errors
/// What of it makes no sense, or what the kernel refuses: with the chain and the rule. Nothing is changed then.
pub fn apply(ruleset: &Ruleset, socket: &Netfilter) -> Result<()> {
    replace(ruleset, None, socket)
}

/// As [`apply`], unless these very rules are in force: two hundred containers that start at once would otherwise replace them
/// two hundred times, each at the cost of everybody's counters.
///
/// # Errors
/// As [`apply`].
pub fn share(ruleset: &Ruleset, socket: &Netfilter) -> Result<()> {
    let mark = shared::mark(ruleset)?;
    if shared::marked(&ruleset.table, socket)?.as_ref() == Some(&mark) {
        return Ok(());
    }
    replace(ruleset, Some(&mark), socket)
}

fn replace(ruleset: &Ruleset, mark: Option<&str>, socket: &Netfilter) -> Result<()> {
    // Most often there is none of its name. Whoever removes one waits for the kernel to be done with it when the socket is
    // closed: some 15 ms, ten times the rest.
    match changes(ruleset, mark, true)?.commit(socket) {
        Err(Failure::Refused(Refused { part: Some(Part::Table), errno: Errno::EEXIST, .. })) => {
            changes(ruleset, mark, false)?.commit(socket)
        }
        other => other,
    }
    .map_err(|failure| failure.of(&whole(ruleset), |part| name_of(ruleset, part)))
}

/// Makes a table, `new` or in the place of one that is there.
fn changes(ruleset: &Ruleset, mark: Option<&str>, new: bool) -> Result<Transaction<Part>> {
    let name = text(&ruleset.table, NAME, "the name of a table")?;
    // Of two chains of one name the kernel makes one.
    let (mut chains, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut named = ruleset.chains.iter().map(|chain| &chain.name).chain(ruleset.parts.iter().map(|part| &part.name));
    let twice = named.find(|name| !chains.insert(*name));
    let twice = twice.or_else(|| ruleset.sets.iter().map(|set| &set.name).find(|name| !names.insert(*name)));
    if let Some(name) = twice {
        return Err(Error::new(format!("table {}: {name} is there twice", ruleset.table)));
    }
    let table = Table::new(&name, ProtoFamily::Inet);
    let mut changes = Transaction::empty();
    if !new {
        // To remove what is not there is an error, to add what is there is none.
        changes.add(&table, MsgType::Add, Part::Table);
        changes.add(&table, MsgType::Del, Part::Table);
    }
    changes.add(&shared::table(&ruleset.table, mark, new)?, MsgType::Add, Part::Table);

    let mut sets = BTreeMap::new();
    for ((at, set), id) in ruleset.sets.iter().enumerate().zip(1..) {
        let name = text(&set.name, NAME, "the name of a set")?;
        let bounds = |seconds: u32| (set.size, Duration::from_secs(seconds.into()));
        let made = match (set.family, set.holds) {
            (Family::V4, Holds::Addresses) => Addresses::V4(timed(&name, id, &table, set.size)),
            (Family::V6, Holds::Addresses) => Addresses::V6(timed(&name, id, &table, set.size)),
            (Family::V4, Holds::Noted(time)) => Addresses::V4(remembered(&name, id, &table, bounds(time))),
            (Family::V6, Holds::Noted(time)) => Addresses::V6(remembered(&name, id, &table, bounds(time))),
            (Family::V4, Holds::Peers(time)) => Addresses::Peers4(remembered(&name, id, &table, bounds(time))),
            (Family::V6, Holds::Peers(time)) => Addresses::Peers6(remembered(&name, id, &table, bounds(time))),
        };
        match &made {
            Addresses::V4(set) => changes.add(set, MsgType::Add, Part::Set(at)),
            Addresses::V6(set) => changes.add(set, MsgType::Add, Part::Set(at)),
            Addresses::Peers4(set) => changes.add(set, MsgType::Add, Part::Set(at)),
            Addresses::Peers6(set) => changes.add(set, MsgType::Add, Part::Set(at)),
        }
        sets.insert(set.name.as_str(), made);
    }
    let fault = |part, what: String| Error::new(format!("table {}, {}: {what}", ruleset.table, name_of(ruleset, part)));
    let (mut made, mut parts) = (Vec::new(), Vec::new());
    for (at, chain) in ruleset.chains.iter().enumerate() {
        made.push(add_chain(&mut changes, &table, at, chain).map_err(|what| fault(Part::Chain(at), what))?);
    }
    for (at, part) in ruleset.parts.iter().enumerate() {
        let name = text(&part.name, NAME, "the name of a part")
            .map_err(|error| fault(Part::Parted(at, None), error.to_string()))?;
        let chain = nftnl::Chain::new(&name, &table);
        changes.add(&chain, MsgType::Add, Part::Parted(at, None));
        parts.push(chain);
    }
    // Rules lead only to what is there.
    for (at, (chain, made)) in ruleset.chains.iter().zip(&made).enumerate() {
        for (number, rule) in chain.rules.iter().enumerate() {
            let place = Part::Rule(at, number);
            let rule = add_rule(made, &sets, Known::default(), rule).map_err(|what| fault(place, what))?;
            changes.add(&rule, MsgType::Add, place);
        }
    }
    let known = ruleset.known();
    for (at, (part, made)) in ruleset.parts.iter().zip(&parts).enumerate() {
        let known = known.get(part.name.as_str()).copied().unwrap_or_default();
        for (number, rule) in part.rules.iter().enumerate() {
            let place = Part::Parted(at, Some(number));
            let rule = add_rule(made, &sets, known, rule).map_err(|what| fault(place, what))?;
            changes.add(&rule, MsgType::Add, place);
        }
    }
    Ok(changes)
}

/// Removes a table, if it is there.
///
/// # Errors
/// What the kernel refuses.
pub fn remove(table: &str, socket: &Netfilter) -> Result<()> {
    let name = text(table, NAME, "the name of a table")?;
    let table = Table::new(&name, ProtoFamily::Inet);
    let mut changes = Transaction::empty();
    changes.add(&table, MsgType::Del, Part::Table);
    match changes.commit(socket) {
        Err(Failure::Refused(refused)) if refused.errno == Errno::ENOENT => Ok(()),
        Err(failure) => Err(failure.of(&format!("remove table {}", name.to_string_lossy()), |_| String::new())),
        Ok(()) => Ok(()),
    }
}

/// Adds a chain, without rules.
fn add_chain<'a>(
    changes: &mut Transaction<Part>,
    table: &'a Table,
    at: usize,
    chain: &Chain,
) -> std::result::Result<nftnl::Chain<'a>, String> {
    let name = text(&chain.name, NAME, "the name of a chain").map_err(|error| error.to_string())?;
    let mut made = nftnl::Chain::new(&name, table);
    let hook = match chain.hook {
        Hook::Prerouting => nftnl::Hook::PreRouting,
        Hook::Input => nftnl::Hook::In,
        Hook::Forward => nftnl::Hook::Forward,
        Hook::Output => nftnl::Hook::Out,
        Hook::Postrouting => nftnl::Hook::PostRouting,
    };
    made.set_hook(hook, chain.priority);
    made.set_type(match chain.kind {
        Kind::Filter => nftnl::ChainType::Filter,
        Kind::Nat => nftnl::ChainType::Nat,
    });
    made.set_policy(if chain.drops { nftnl::Policy::Drop } else { nftnl::Policy::Accept });
    changes.add(&made, MsgType::Add, Part::Chain(at));
    Ok(made)
}

fn add_rule<'r>(
    chain: &'r nftnl::Chain<'_>,
    sets: &BTreeMap<&str, Addresses<'_>>,
    Known { family, protocol }: Known,
    rule: &Rule,
) -> std::result::Result<nftnl::Rule<'r>, String> {
    let straight = rule.matches.contains(&Match::Straight);
    let mut draft = Draft { rule: nftnl::Rule::new(chain), sets, family, protocol, asked: None, straight };
    if let Some(comment) = &rule.comment {
        let comment = text(comment, COMMENT, "a comment").map_err(|error| error.to_string())?;
        draft.rule.set_comment(&comment)?;
    }
    for fits in &rule.matches {
        condition::add(&mut draft, fits)?;
    }
    for action in &rule.actions {
        action::add(&mut draft, action)?;
    }
    Ok(draft.rule)
}

/// For the kernel. What is longer than its place has room for, or ends before its end, is refused.
fn text(value: &str, most: usize, what: &str) -> Result<CString> {
    let text = CString::new(value).ok().filter(|text| !text.is_empty() && text.count_bytes() <= most);
    text.ok_or_else(|| Error::new(format!("{what} is empty, of more than {most} bytes, or has a zero byte")))
}

fn whole(ruleset: &Ruleset) -> String {
    format!("table {}", ruleset.table)
}

/// What a part is called in an error.
fn name_of(ruleset: &Ruleset, part: Part) -> String {
    let chain = |at: usize| ruleset.chains.get(at).map_or("?", |chain| &chain.name);
    let one = |name: &str, rules: Option<&Vec<Rule>>, place: usize| {
        let rule = rules.and_then(|rules| rules.get(place));
        let comment = rule.and_then(|rule| rule.comment.as_ref()).map(|comment| format!(" ({comment})"));
        format!("chain {name}, rule {}{}", place + 1, comment.unwrap_or_default())
    };
    match part {
        Part::Table => "itself".to_owned(),
        Part::Set(at) => format!("set {}", ruleset.sets.get(at).map_or("?", |set| &set.name)),
        Part::Chain(at) => format!("chain {}", chain(at)),
        Part::Rule(at, place) => one(chain(at), ruleset.chains.get(at).map(|chain| &chain.rules), place),
        Part::Parted(at, place) => {
            let part = ruleset.parts.get(at);
            let name = part.map_or("?", |part| &part.name);
            match place {
                Some(place) => one(name, part.map(|part| &part.rules), place),
                None => format!("chain {name}"),
            }
        }
    }
}
