//! What the audit is told.

use super::target::Target;
use crate::ask::question;
use crate::audit::{self, Argument as Told, Ask, Audit, Decision, Event, Part, Verdict};
use crate::decision::Argument;
use crate::handlers::sockets::address::{Address, Way, parse};
use crate::handlers::sockets::messages::NO_ADDRESS;
use crate::policy::{Death, Record};
use nix::errno::Errno;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The log of one container's broker.
pub(crate) struct Log {
    container: String,
    audit: Audit,
    origins: BTreeMap<String, String>,
    record: Record,
}

/// What is remembered of a call until it is answered.
pub(super) struct Call {
    pub thread: i32,
    /// Its process, once the hands have said it.
    pub process: Option<i32>,
    pub name: &'static str,
    pub received: Instant,
    pub rule: Cow<'static, str>,
    pub seen: Vec<(&'static str, Argument)>,
}

impl Call {
    pub(super) fn target(&self) -> Target {
        Target { thread: self.thread, process: self.process }
    }

    fn told(&self) -> Vec<(&str, Told<'_>)> {
        self.seen.iter().map(|(name, seen)| (*name, told(seen))).collect()
    }

    /// A hand has found out which file a socket's address leads to, and which rule is about it: the rule, a NUL, the name.
    pub(super) fn learn(&mut self, text: &[u8]) {
        let Some(at) = text.iter().position(|byte| *byte == 0) else { return };
        let (rule, name) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        self.rule = String::from_utf8_lossy(rule).into_owned().into();
        self.seen.push(("file", Argument::Path(name.to_vec())));
    }
}

/// How a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// The kernel does it.
    LetRun,
    /// A hand has done it, or not.
    Result(Result<i64, Errno>),
    /// Nobody waits for an answer any more.
    Gone,
}

/// How long the writer may take for its last records.
const PATIENCE: Duration = Duration::from_millis(200);

impl Log {
    /// `origins` are those of the policy.
    pub(crate) fn new(container: String, audit: Audit, record: Record, origins: BTreeMap<String, String>) -> Self {
        Log { container, audit, record, origins }
    }

    /// What the author of the policy calls a rule.
    fn rule<'a>(&'a self, call: &'a Call) -> Option<&'a str> {
        Some(self.origins.get(&*call.rule).map_or(&*call.rule, String::as_str))
    }

    pub(super) fn started(&self) {
        self.audit.record(&Event::BrokerStarted { container: &self.container, broker: std::process::id() });
    }

    pub(super) fn ended(self) {
        let Log { container, audit, .. } = self;
        let broker = std::process::id();
        audit.record(&Event::BrokerEnded { container: &container, broker, why: "the container has ended" });
        audit.finish(PATIENCE);
    }

    pub(super) fn hands_died(&self, then: Death) {
        self.died(Part::Hands, then);
    }

    pub(super) fn loader_died(&self, then: Death) {
        self.died(Part::Loader, then);
    }

    fn died(&self, part: Part, then: Death) {
        let (how, then) = ("its socket has closed", then.word());
        self.audit.record(&Event::PartDied { container: &self.container, part, how, then });
    }

    /// Whether nothing is recorded.
    pub(super) fn is_none(&self) -> bool {
        self.audit.is_none()
    }

    /// A question to the client, as a line, and in the log.
    pub(super) fn asked(&self, call: &Call, id: u64) -> Vec<u8> {
        let arguments = call.told();
        let ask = self.question(call, id, &arguments);
        if self.record == Record::All {
            self.audit.record(&Event::Asked(ask));
        }
        question(&ask)
    }

    /// What became of a question.
    pub(super) fn decided(&self, call: &Call, id: u64, verdict: Result<(), Errno>, by: &str) {
        if self.record == Record::Denials && verdict.is_ok() {
            return;
        }
        let arguments = call.told();
        let ask = self.question(call, id, &arguments);
        let verdict = verdict.map_or_else(Verdict::Errno, |()| Verdict::Allow);
        self.audit.record(&Event::Answered { ask, by, verdict, latency: call.received.elapsed() });
    }

    fn question<'a>(&'a self, call: &'a Call, id: u64, arguments: &'a [(&'a str, Told<'a>)]) -> Ask<'a> {
        let (container, pid, syscall) = (self.container.as_str(), call.thread, call.name);
        Ask { container, id, pid, syscall, arguments, rule: self.rule(call) }
    }

    pub(super) fn answered(&self, call: &Call, answered: Answered) {
        // What goes over a connection is no decision.
        let is_data = call.rule == NO_ADDRESS && !matches!(answered, Answered::Result(Err(_)));
        let refuses = matches!(answered, Answered::Result(Err(_)));
        if self.audit.is_none() || is_data || self.record == Record::Denials && !refuses {
            return;
        }
        let verdict = match answered {
            Answered::LetRun => Verdict::Allow,
            Answered::Result(Ok(_)) => Verdict::Value,
            Answered::Result(Err(errno)) => Verdict::Errno(errno),
            Answered::Gone => Verdict::Gone,
        };
        let arguments = call.told();
        self.audit.record(&Event::Decision(Decision {
            container: &self.container,
            pid: call.thread,
            syscall: call.name,
            arguments: &arguments,
            verdict,
            rule: self.rule(call),
            latency: call.received.elapsed(),
        }));
    }
}

fn told(argument: &Argument) -> Told<'_> {
    match argument {
        Argument::Path(bytes) => Told::Path(bytes),
        Argument::Number(number) => Told::Unsigned(*number),
        Argument::Word(word) => Told::Text(word),
        Argument::Address(bytes) => Told::Address(address(bytes)),
    }
}

fn address(bytes: &[u8]) -> audit::Address<'_> {
    match parse(bytes, Way::Send) {
        Address::Internet(ip, port) => audit::Address::Internet((ip, port).into()),
        Address::Path(path) => audit::Address::Unix(path),
        Address::Unnamed => audit::Address::Unix(b""),
        Address::Abstract(name) => audit::Address::Abstract(name),
        Address::Netlink | Address::Nothing | Address::Foreign | Address::Short => match bytes {
            [first, second, ..] => audit::Address::Family(u16::from_ne_bytes([*first, *second])),
            _ => audit::Address::Family(0),
        },
    }
}
