//! The state of a sandbox's resolver.

mod outside;

use crate::answer::Found;
use crate::asked::{Asked, Heard, hear};
use crate::cache::Cache;
use crate::limits::Limits;
use crate::name::{Name, NotAName};
use crate::reply::{Short, full, short, wrong};
use crate::step::{Event, Pin, Reply, Step, Token, Verdict, Why};
use crate::zones::{Match, Zones};
use outside::Question;
use simple_dns::QTYPE;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zviz_network::address::Network;
use zviz_network::wire;

/// How long an address can be reached at least after its name was asked for. Programs take longer to connect than an answer
/// of no seconds lasts, and try one address after the other.
pub const SHORTEST_PIN: Duration = Duration::from_secs(30);
/// And at most, unless it is asked for again. Answers are given no longer a life than that.
pub const LONGEST_PIN: Duration = Duration::from_secs(3600);
/// The most questions that wait for an answer from outside.
pub const MOST_WAITING: usize = 256;
/// The most programs that wait for one answer.
const MOST_CLIENTS: usize = 32;

/// A, CNAME, AAAA, SRV, SVCB, HTTPS: what programs that connect to hosts ask for. What others there are is not needed to
/// reach a host, and some of them carry much of anything, such as TXT.
const KINDS: [u16; 6] = [1, 5, 28, 33, 64, 65];

/// The resolver of one sandbox. `C` is whoever asks: where its reply goes.
pub struct Resolver<C> {
    /// None is every name.
    zones: Option<Zones>,
    guarded: Vec<Network>,
    upstreams: usize,
    limits: Limits,
    cache: Cache,
    questions: HashMap<Token, Question<C>>,
    random: Box<dyn FnMut() -> u16>,
    next: Token,
    /// The rule of a name that no entry fits.
    rule: Arc<str>,
}

impl<C> fmt::Debug for Resolver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("zones", &self.zones)
            .field("waiting", &self.questions.len())
            .finish_non_exhaustive()
    }
}

impl<C: Clone + PartialEq> Resolver<C> {
    /// Begins. `random` gives numbers that none can foresee.
    ///
    /// # Errors
    /// A zone whose name is none.
    pub fn new(
        policy: &wire::Resolver,
        now: Instant,
        random: impl FnMut() -> u16 + 'static,
    ) -> Result<Resolver<C>, NotAName> {
        let zones = policy.names.as_deref().map(Zones::new).transpose()?;
        let rule = if zones.is_some() { "network.allow_domains" } else { "network.dns" };
        Ok(Resolver {
            zones,
            guarded: policy.guarded.clone(),
            upstreams: policy.upstream.len(),
            limits: Limits::new(now),
            cache: Cache::default(),
            questions: HashMap::new(),
            random: Box::new(random),
            next: 0,
            rule: rule.into(),
        })
    }

    /// A packet has come from the sandbox, on a stream or not.
    ///
    /// What may not be asked for is answered with "no such name" rather than "refused": programs then go on with their search
    /// list, or end, where some would ask again and again until they give up. What is there but not passed on is answered with
    /// "no such records", so that a program that asks for two types goes on with the other.
    pub fn query(&mut self, now: Instant, client: C, stream: bool, packet: &[u8]) -> Vec<Step<C>> {
        let reply = |packet| vec![Step::Reply(Reply { client: client.clone(), packet })];
        let asked = match hear(packet) {
            Heard::Noise => return Vec::new(),
            Heard::Wrong { id, opcode, recursive, code } => return reply(wrong(id, opcode, recursive, code)),
            Heard::Version(asked) => return reply(short(&asked, Short::Version, None)),
            Heard::Question(asked) => asked,
        };
        let found = match self.fits(&asked.name) {
            Ok(found) => found,
            Err(why) => return self.refuse(&asked, client, Short::NoName, &self.rule.clone(), why),
        };
        let rule = self.rule_of(found.as_ref());
        if asked.class != 1 || !self.passes(asked.kind) {
            return self.refuse(&asked, client, Short::Nothing, &rule, Why::Kind);
        }
        if let Some((answer, left)) = self.cache.get(now, &asked.name, asked.kind) {
            return self.deliver(found.as_ref(), &answer, left, vec![Waiting { client, stream, asked }]);
        }
        if let Some(question) = self.questions.values_mut().find(|question| question.is(&asked)) {
            question.join(Waiting { client, stream, asked });
            return Vec::new();
        }
        if self.questions.len() >= MOST_WAITING {
            return self.refuse(&asked, client, Short::Failure, &rule, Why::Busy);
        }
        if let Some(chosen) = found.as_ref().and_then(|found| found.chosen)
            && let Err(why) = self.limits.charge(now, &asked.name, chosen)
        {
            let how = if why == Why::Often { Short::Failure } else { Short::NoName };
            return self.refuse(&asked, client, how, &rule, why);
        }
        self.ask(now, Question::new(now, found, Waiting { client, stream, asked }))
    }

    /// Whether a name may be asked for, and by which entries.
    fn fits(&self, name: &Name) -> Result<Option<Match>, Why> {
        match &self.zones {
            None => Ok(None),
            Some(zones) => zones.find(name).map(Some).ok_or(Why::Name),
        }
    }

    fn passes(&self, kind: u16) -> bool {
        match &self.zones {
            Some(_) => KINDS.contains(&kind),
            // OPT and what is about transactions (RFC 8945) are no records that a name has.
            None => matches!(QTYPE::try_from(kind), Ok(QTYPE::TYPE(_))) && !matches!(kind, 41 | 249 | 250),
        }
    }

    fn rule_of(&self, found: Option<&Match>) -> Arc<str> {
        let first = found.and_then(|found| found.zones.first());
        let zone = self.zones.as_ref().zip(first).and_then(|(zones, index)| zones.get(*index));
        Arc::clone(zone.map_or(&self.rule, |zone| &zone.key))
    }

    fn refuse(&self, asked: &Asked, client: C, how: Short, rule: &Arc<str>, why: Why) -> Vec<Step<C>> {
        let event = denied(asked, rule, why);
        vec![Step::Reply(Reply { client, packet: short(asked, how, Some(why)) }), Step::Event(event)]
    }

    /// Gives an answer to all that wait for it, after its addresses have been pinned.
    fn deliver(&self, found: Option<&Match>, answer: &Found, left: Duration, waiting: Vec<Waiting<C>>) -> Vec<Step<C>> {
        let left = left.min(LONGEST_PIN);
        let seconds = u32::try_from(left.as_secs()).unwrap_or(0);
        let then: Vec<_> = waiting
            .iter()
            .map(|one| Reply { client: one.client.clone(), packet: full(&one.asked, answer, seconds, one.stream) })
            .collect();
        let pins = self.pins(found, &answer.addresses(), left.max(SHORTEST_PIN));
        let Some(first) = waiting.first().filter(|_| !pins.is_empty()) else {
            return then.into_iter().map(Step::Reply).collect();
        };
        let refusal = denied(&first.asked, &self.rule_of(found), Why::Full);
        let why = Some(Why::Full);
        let failure = |one: Waiting<C>| Reply { packet: short(&one.asked, Short::Failure, why), client: one.client };
        let otherwise = waiting.into_iter().map(failure).collect();
        vec![Step::Pin { pins, then, otherwise, refusal }]
    }

    /// What goes into the sets of every entry that the name fits, each once.
    fn pins(&self, found: Option<&Match>, addresses: &[IpAddr], lifetime: Duration) -> Vec<Pin> {
        let Some((zones, found)) = self.zones.as_ref().zip(found) else { return Vec::new() };
        let mut pins: Vec<Pin> = Vec::new();
        for zone in found.zones.iter().filter_map(|index| zones.get(*index)) {
            for (set, four) in [(&zone.sets.0, true), (&zone.sets.1, false)] {
                let addresses: Vec<_> = addresses.iter().copied().filter(|address| address.is_ipv4() == four).collect();
                if !addresses.is_empty() && pins.iter().all(|pin| pin.set != *set) {
                    pins.push(Pin { set: Arc::clone(set), addresses, lifetime });
                }
            }
        }
        pins
    }
}

/// Someone who waits.
#[derive(Debug, Clone)]
struct Waiting<C> {
    client: C,
    stream: bool,
    asked: Asked,
}

fn denied(asked: &Asked, rule: &Arc<str>, why: Why) -> Event {
    Event {
        name: asked.name.clone(),
        kind: asked.kind,
        verdict: Verdict::Deny,
        rule: Arc::clone(rule),
        why: Some(why),
        addresses: Vec::new(),
    }
}
