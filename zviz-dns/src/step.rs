//! What is to be done, in the order in which it is given.

use crate::name::Name;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One question to a resolver outside. A number is not used twice.
pub type Token = u64;

/// `C` is whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<C> {
    /// Send it.
    Reply(Reply<C>),
    /// Ask a resolver outside, from a port that none can foresee, and give every packet that comes back from its address to
    /// [`crate::Resolver::answer`], until `Close`.
    Ask {
        /// For `answer` and `failed`.
        token: Token,
        /// Which, of the policy's.
        upstream: usize,
        /// By TCP rather than UDP. The length before the packet is not part of it.
        stream: bool,
        /// The question.
        packet: Vec<u8>,
    },
    /// Nothing more is expected of that question.
    Close(Token),
    /// Let the rules know addresses, all or none, and only then send `then`; where that cannot be done, send `otherwise` and tell
    /// of `refusal`.
    Pin {
        /// What goes where.
        pins: Vec<Pin>,
        /// Replies with these addresses.
        then: Vec<Reply<C>>,
        /// Replies without any.
        otherwise: Vec<Reply<C>>,
        /// What was decided then.
        refusal: Event,
    },
    /// Something was decided.
    Event(Event),
}

/// A packet for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<C> {
    /// To whom.
    pub client: C,
    /// The packet. The length before it on a stream is not part of it.
    pub packet: Vec<u8>,
}

/// Addresses of one family for a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The set.
    pub set: Arc<str>,
    /// Not empty.
    pub addresses: Vec<IpAddr>,
    /// How long each is to stay from now on, whether it is there or not: an element that is there must not end before.
    pub lifetime: Duration,
}

/// What was decided about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What was asked for. Up to 1,004 characters, each of which prints.
    pub name: Name,
    /// The type of record: 1 is A, 28 AAAA.
    pub kind: u16,
    /// How it was decided.
    pub verdict: Verdict,
    /// The profile's key.
    pub rule: Arc<str>,
    /// For a refusal, why.
    pub why: Option<Why>,
    /// What the answer leads to.
    pub addresses: Vec<IpAddr>,
}

/// How a name was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was asked for outside, and answered.
    Allow,
    /// It was not, or its answer was not given.
    Deny,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No entry fits.
    #[error("no entry allows this name")]
    Name,
    /// Not a type that is passed on.
    #[error("records of this type are not passed on")]
    Kind,
    /// What it leads to.
    #[error("it leads to {0}")]
    Guarded(IpAddr),
    /// More bytes, labels or other characters than names of hosts have.
    #[error("it is longer than names of hosts are")]
    Long,
    /// The part below a wildcard could be data.
    #[error("it looks like data, not like a name")]
    Dense,
    /// Of all names below wildcards.
    #[error("too many names in a short time")]
    Often,
    /// Of all questions.
    #[error("too many questions at a time")]
    Busy,
    /// The rules cannot let its addresses through.
    #[error("there is no room for its addresses: too many were asked for by names of this rule")]
    Full,
    /// No resolver outside has answered so that it could be used.
    #[error("no resolver has answered")]
    Silence,
}
