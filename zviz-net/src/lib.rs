//! The network helper: it alone speaks to the kernel about links, addresses and packet filters. A program of its own since it
//! links libnftnl, and since it changes its namespaces, which no other part of zviz does.
//!
//! ```text
//! zviz ──Request, descriptors──► zviz-net ──rtnetlink, nfnetlink──► the host's namespace, the container's
//!      ◄──Reply───────────────────┘
//! ```

#![forbid(unsafe_code)]

pub mod asked;
pub mod attributes;
pub mod counters;
pub mod down;
pub mod error;
pub mod flows;
pub mod links;
pub mod namespace;
pub mod netfilter;
pub mod netlink;
pub mod report;
pub mod rules;
pub mod serve;
pub mod sweep;
pub mod transaction;
pub mod up;
