//! Whether somebody else has rules in a network namespace: an engine that turns questions for names round, a mesh that turns
//! connections round, another container. Where one of them has connections tracked, that has its price already, and what a
//! container says to itself would fill the table, if nobody had it left alone.

use crate::attributes::{Attributes, Writing};
use crate::error::{Error, Result};
use crate::netfilter::{GENERAL, INET, Netfilter, TABLES};
use crate::netlink::Listing;
use nix::libc;
use std::io::ErrorKind;

/// Kinds of messages and attributes of linux/netfilter/nf_tables.h.
const GET_TABLE: u16 = TABLES | libc::NFT_MSG_GETTABLE as u16;
const TABLE: u16 = TABLES | libc::NFT_MSG_NEWTABLE as u16;
const TABLE_NAME: u16 = 1;

/// Which tables iptables has without nf_tables, one a line: of this network namespace. The kernel's x_tables.
const LEGACY: [&str; 2] = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

/// Whether there is a table beside one of this name.
///
/// # Errors
/// What the kernel refuses.
pub fn others(table: &str, socket: &Netfilter) -> Result<bool> {
    let mut others = false;
    let request = Writing::netfilter(GET_TABLE, libc::NLM_F_DUMP, 1, libc::NFPROTO_UNSPEC, 0).bytes();
    let listed = socket.list(&request, |answer| {
        let Some((general, attributes)) = answer.body.split_at_checked(GENERAL).filter(|_| answer.kind == TABLE) else {
            return;
        };
        let family = general.first().copied().map(i32::from);
        others |= family != Some(INET) || Attributes(attributes).text(TABLE_NAME).as_deref() != Some(table);
    });
    match listed {
        Ok(()) => {}
        Err(Listing::Other(error)) => return Err(error),
        Err(Listing::Kernel(errno)) => return Err(Error::new(format!("list of tables: {}", errno.desc()))),
    }
    let legacy = |path: &str| match std::fs::read(path) {
        Ok(names) => !names.is_empty(),
        // Who cannot tell does without what only he would profit by.
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    Ok(others || LEGACY.into_iter().any(legacy))
}
