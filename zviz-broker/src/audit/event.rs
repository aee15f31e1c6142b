//! What is worth a record.

use super::argument::{Argument, object};
use super::record::Format;
use super::text;
use serde::{Serialize, Serializer};
use std::time::Duration;
use zviz_sys::Errno;

/// One event. `type` in JSON is the variant, in small letters.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A mediated call was answered, or its caller was gone.
    Decision(Decision<'a>),
    /// A call is held until someone answers.
    Asked(Ask<'a>),
    /// Someone did, or was not in time.
    Answered {
        /// Of the question.
        #[serde(flatten)]
        ask: Ask<'a>,
        /// Who: a rule, a command, a client; or `timeout`.
        #[serde(serialize_with = "words")]
        by: &'a str,
        /// As the call is answered.
        #[serde(serialize_with = "shown")]
        verdict: Verdict<'a>,
        /// How long it was held.
        #[serde(rename = "latency_us", serialize_with = "micros")]
        latency: Duration,
    },
    /// The broker of a container serves.
    BrokerStarted {
        /// The container's name.
        #[serde(serialize_with = "words")]
        container: &'a str,
        /// The broker's process: what `dropped` names as well.
        broker: u32,
    },
    /// It serves no longer.
    BrokerEnded {
        /// The container's name.
        #[serde(serialize_with = "words")]
        container: &'a str,
        /// The broker's process.
        broker: u32,
        /// Why, in words: the container ended, the listener was lost.
        #[serde(serialize_with = "words")]
        why: &'a str,
    },
    /// A part of the broker, or the program that a sandbox's network comes by, died before its time.
    PartDied {
        /// The container's name.
        #[serde(serialize_with = "words")]
        container: &'a str,
        /// Which.
        part: Part,
        /// How, in words: `signal 9`, `exit status 1`.
        #[serde(serialize_with = "words")]
        how: &'a str,
        /// What follows, by the profile: `kill` or `degrade`; of the network, `unreachable`.
        #[serde(serialize_with = "words")]
        then: &'a str,
    },
    /// Records are missing here. The audit log writes it by itself.
    Dropped {
        /// How many since the last such record.
        records: u64,
        /// The process whose records they were.
        broker: u32,
    },
}

impl Event<'_> {
    /// Its line in a log, as of now, with the line's end.
    pub fn to_line(&self) -> Vec<u8> {
        Format::Json.encode(self)
    }

    /// Its entry for journald, as of now.
    pub fn to_journal_entry(&self) -> Vec<u8> {
        Format::Journal.encode(self)
    }
}

/// What was decided about a call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Decision<'a> {
    /// The container's name.
    #[serde(serialize_with = "words")]
    pub container: &'a str,
    /// The thread that made the call, as the broker sees it.
    pub pid: i32,
    /// The call's name, or its number where it has none.
    #[serde(serialize_with = "words")]
    pub syscall: &'a str,
    /// What could be decoded, with the names of the man page.
    #[serde(serialize_with = "arguments")]
    pub arguments: &'a [(&'a str, Argument<'a>)],
    /// How it was answered.
    #[serde(serialize_with = "shown")]
    pub verdict: Verdict<'a>,
    /// The rule that decided, and its place: `mounts.types`, or a file and a line.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// From the receipt of the notification to its answer.
    #[serde(rename = "latency_us", serialize_with = "micros")]
    pub latency: Duration,
}

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ask<'a> {
    /// The container's name.
    #[serde(serialize_with = "words")]
    pub container: &'a str,
    /// The same in both records of one question.
    pub id: u64,
    /// The thread that made the call, as the broker sees it.
    pub pid: i32,
    /// The call's name.
    #[serde(serialize_with = "words")]
    pub syscall: &'a str,
    /// What could be decoded.
    #[serde(serialize_with = "arguments")]
    pub arguments: &'a [(&'a str, Argument<'a>)],
    /// The rule that asks.
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
}

/// A process of the broker, or one beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It holds the listener and decides.
    Eyes,
    /// It acts inside the container.
    Hands,
    /// It loads programs into the kernel.
    Loader,
    /// It is the way out of a sandbox's network.
    Network,
}

/// How a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// `allow`: the kernel performs it.
    Allow,
    /// `value`: the broker has performed it, and its result is given.
    Value,
    /// `errno EPERM`.
    Errno(Errno),
    /// `killed`: the caller was.
    Killed,
    /// `gone`: the caller was, before it could be answered.
    Gone,
    /// `failed: WHY`: the broker could not decide, and the call is refused.
    Failed(&'a str),
}

impl std::fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Allow => f.write_str("allow"),
            Verdict::Value => f.write_str("value"),
            Verdict::Errno(errno) => write!(f, "errno {errno:?}"),
            Verdict::Killed => f.write_str("killed"),
            Verdict::Gone => f.write_str("gone"),
            Verdict::Failed(why) => write!(f, "failed: {}", text::words(why)),
        }
    }
}

// serde calls these with a reference to the field, whatever the field is.

fn words<S: Serializer>(text: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    text::words(text).serialize(serializer)
}

fn optional<S: Serializer>(text: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    text.map(text::words).serialize(serializer)
}

fn arguments<S: Serializer>(arguments: &&[(&str, Argument<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    object(arguments, serializer)
}

fn shown<S: Serializer>(verdict: &Verdict<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(verdict)
}

fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_micros().try_into().unwrap_or(u64::MAX))
}
