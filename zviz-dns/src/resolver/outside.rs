//! Questions to resolvers outside: one after the other of them, each with an id that none can foresee, until one has answered.

use super::{MOST_CLIENTS, Resolver, Waiting, denied};
use crate::answer::{Answer, Expected, read};
use crate::asked::Asked;
use crate::name::Name;
use crate::reply::{Short, question, short};
use crate::step::{Event, Reply, Step, Token, Verdict, Why};
use crate::zones::Match;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long one is waited for: by UDP, and on a stream. A program asks again after 5 seconds (resolv.conf(5)).
const PATIENCE: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(3000));
/// How often it is asked, where there are fewer resolvers, and at most.
const TRIES: (usize, usize) = (3, 6);
/// The most packets that are not the answer. Whoever guesses has that many guesses of 65,536 at one port.
const MOST_STRAY: u32 = 32;

/// What is asked outside, and who waits for it.
#[derive(Debug)]
pub(super) struct Question<C> {
    name: Name,
    kind: u16,
    found: Option<Match>,
    waiting: Vec<Waiting<C>>,
    id: u16,
    upstream: usize,
    tries: usize,
    stream: bool,
    edns: bool,
    stray: u32,
    until: Instant,
}

impl<C: Clone + PartialEq> Question<C> {
    pub(super) fn new(now: Instant, found: Option<Match>, first: Waiting<C>) -> Question<C> {
        Question {
            name: first.asked.name.clone(),
            kind: first.asked.kind,
            found,
            waiting: vec![first],
            id: 0,
            upstream: 0,
            tries: 0,
            stream: false,
            edns: true,
            stray: 0,
            until: now,
        }
    }

    pub(super) fn is(&self, asked: &Asked) -> bool {
        self.kind == asked.kind && self.name == asked.name
    }

    /// One more waits; not one that only asks again, nor one too many, who will.
    pub(super) fn join(&mut self, one: Waiting<C>) {
        let again = self.waiting.iter().any(|other| other.client == one.client && other.asked == one.asked);
        if !again && self.waiting.len() < MOST_CLIENTS {
            self.waiting.push(one);
        }
    }
}

impl<C: Clone + PartialEq> Resolver<C> {
    /// Asks the next resolver, or the same again where only the way changes.
    pub(super) fn ask(&mut self, now: Instant, mut question: Question<C>) -> Vec<Step<C>> {
        if self.upstreams == 0 || question.tries >= TRIES.0.max(self.upstreams).min(TRIES.1) {
            return self.give_up(question);
        }
        question.tries += 1;
        question.id = (self.random)();
        question.stray = 0;
        question.until = now + if question.stream { PATIENCE.1 } else { PATIENCE.0 };
        self.next += 1;
        let token = self.next;
        let packet = self::question(question.id, question.name.wire(), question.kind, question.edns);
        let step = Step::Ask { token, upstream: question.upstream, stream: question.stream, packet };
        self.questions.insert(token, question);
        vec![step]
    }

    /// A packet has come from the resolver outside that `token` was asked of.
    pub fn answer(&mut self, now: Instant, token: Token, packet: &[u8]) -> Vec<Step<C>> {
        let Some(mut question) = self.questions.remove(&token) else { return Vec::new() };
        let expected = Expected { id: question.id, name: &question.name, kind: question.kind, guarded: &self.guarded };
        let answer = read(packet, &expected, |name| self.fits(name).is_ok());
        let mut steps = vec![Step::Close(token)];
        match answer {
            Answer::Stray if question.stray < MOST_STRAY && !question.stream => {
                question.stray += 1;
                self.questions.insert(token, question);
                return Vec::new();
            }
            Answer::Truncated if !question.stream => {
                question.stream = true;
                // It has answered: that it has to be asked again is no failure of its.
                question.tries = question.tries.saturating_sub(1);
                steps.extend(self.ask(now, question));
            }
            Answer::Format if question.edns => {
                question.edns = false;
                question.tries = question.tries.saturating_sub(1);
                steps.extend(self.ask(now, question));
            }
            Answer::Stray | Answer::Truncated | Answer::Format | Answer::Failure => {
                steps.extend(self.ask_next(now, question));
            }
            Answer::Guarded(address) => {
                let rule = self.rule_of(question.found.as_ref());
                let why = Why::Guarded(address);
                if let Some(first) = question.waiting.first() {
                    steps.push(Step::Event(denied(&first.asked, &rule, why)));
                }
                steps.extend(question.waiting.into_iter().map(|one| refused(one, Short::Nothing, why)));
            }
            Answer::Found(found) => {
                let found = Rc::new(found);
                self.cache.put(now, question.name.clone(), question.kind, &found);
                steps.push(Step::Event(Event {
                    name: question.name,
                    kind: question.kind,
                    verdict: Verdict::Allow,
                    rule: self.rule_of(question.found.as_ref()),
                    why: None,
                    addresses: found.addresses(),
                }));
                let left = Duration::from_secs(found.seconds.into());
                steps.extend(self.deliver(question.found.as_ref(), &found, left, question.waiting));
            }
        }
        steps
    }

    /// The question could not be sent, or its stream has ended without an answer.
    pub fn failed(&mut self, now: Instant, token: Token) -> Vec<Step<C>> {
        let Some(question) = self.questions.remove(&token) else { return Vec::new() };
        let mut steps = vec![Step::Close(token)];
        steps.extend(self.ask_next(now, question));
        steps
    }

    /// Goes on where a resolver outside has not answered in time.
    pub fn expire(&mut self, now: Instant) -> Vec<Step<C>> {
        let late: Vec<Token> =
            self.questions.iter().filter(|(_, question)| question.until <= now).map(|(token, _)| *token).collect();
        late.into_iter().flat_map(|token| self.failed(now, token)).collect()
    }

    /// When [`Resolver::expire`] is due. It has nothing to do before.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.questions.values().map(|question| question.until).min()
    }

    fn ask_next(&mut self, now: Instant, mut question: Question<C>) -> Vec<Step<C>> {
        question.upstream = (question.upstream + 1).checked_rem(self.upstreams).unwrap_or(0);
        question.stream = false;
        question.edns = true;
        self.ask(now, question)
    }

    fn give_up(&self, question: Question<C>) -> Vec<Step<C>> {
        let rule = self.rule_of(question.found.as_ref());
        let event = question.waiting.first().map(|first| Step::Event(denied(&first.asked, &rule, Why::Silence)));
        let replies = question.waiting.into_iter().map(|one| refused(one, Short::Failure, Why::Silence));
        replies.chain(event).collect()
    }
}

fn refused<C>(one: Waiting<C>, how: Short, why: Why) -> Step<C> {
    Step::Reply(Reply { packet: short(&one.asked, how, Some(why)), client: one.client })
}
