//! What the audit is told.

use crate::audit::{Argument as Told, Audit, Decision, Event, Part, Verdict};
use crate::decision::Argument;
use crate::policy::Death;
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// The log of one container's broker.
pub(crate) struct Log {
    container: String,
    audit: Audit,
}

/// What is remembered of a call until it is answered.
pub(super) struct Call {
    pub thread: i32,
    pub name: &'static str,
    pub received: Instant,
    pub rule: &'static str,
    pub seen: Vec<(&'static str, Argument)>,
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
    pub(crate) fn new(container: String, audit: Audit) -> Self {
        Log { container, audit }
    }

    pub(super) fn started(&self) {
        self.audit.record(&Event::BrokerStarted { container: &self.container, broker: std::process::id() });
    }

    pub(super) fn ended(self) {
        let Log { container, audit } = self;
        let broker = std::process::id();
        audit.record(&Event::BrokerEnded { container: &container, broker, why: "the container has ended" });
        audit.finish(PATIENCE);
    }

    pub(super) fn hands_died(&self, then: Death) {
        let then = match then {
            Death::Kill => "kill",
            Death::Degrade => "degrade",
        };
        let how = "its socket has closed";
        self.audit.record(&Event::PartDied { container: &self.container, part: Part::Hands, how, then });
    }

    pub(super) fn answered(&self, call: &Call, answered: Answered) {
        if self.audit.is_none() {
            return;
        }
        let verdict = match answered {
            Answered::LetRun => Verdict::Allow,
            Answered::Result(Ok(_)) => Verdict::Value,
            Answered::Result(Err(errno)) => Verdict::Errno(errno),
            Answered::Gone => Verdict::Gone,
        };
        let arguments: Vec<(&str, Told<'_>)> = call.seen.iter().map(|(name, seen)| (*name, told(seen))).collect();
        self.audit.record(&Event::Decision(Decision {
            container: &self.container,
            pid: call.thread,
            syscall: call.name,
            arguments: &arguments,
            verdict,
            rule: Some(call.rule),
            latency: call.received.elapsed(),
        }));
    }
}

fn told(argument: &Argument) -> Told<'_> {
    match argument {
        Argument::Path(bytes) => Told::Path(bytes),
        Argument::Number(number) => Told::Unsigned(*number),
        Argument::Word(word) => Told::Text(word),
    }
}
