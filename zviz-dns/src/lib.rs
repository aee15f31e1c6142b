//! The resolver of a sandbox, without its sockets: what is asked for in a sandbox, what is asked of a resolver outside, and
//! which addresses may be reached after the answer.
//!
//! ```text
//! program ──query()──► may this name be asked for? ──no──► Reply: no such name (nothing has left)
//!                         │ yes: not in the cache
//!                         ▼
//!                       Ask ──► resolver outside ──answer()──► chain of names, addresses, none of them guarded
//!                                                                 │
//!                     Pin: addresses into the sets of the rules ◄─┘ and only then the reply
//! ```
//!
//! Pure: time comes in with every call, packets come in and go out as values, and random numbers come from whoever makes it.

#![forbid(unsafe_code)]

mod answer;
mod asked;
mod cache;
mod guard;
mod limits;
mod name;
mod reply;
mod resolver;
mod services;
mod step;
mod zones;

pub use limits::{
    BITS, BITS_PER_SECOND, LONGEST_BELOW, MOST_LABELS_BELOW, NAMES, NAMES_PER_SECOND, QUERIES, QUERIES_PER_SECOND,
};
pub use name::{Name, NotAName};
pub use resolver::{LONGEST_PIN, MOST_WAITING, Resolver, SHORTEST_PIN};
pub use step::{Event, Pin, Reply, Step, Token, Verdict, Why};
