//! What the rules of a table have counted.

use crate::attributes::{Attributes, Message, Writing};
use crate::error::{Error, Result};
use crate::netfilter::{GENERAL, INET, Netfilter, TABLES};
use crate::netlink::Listing;
use nix::libc;
use zviz_network::wire::Counter;

/// Kinds of messages and attributes of linux/netfilter/nf_tables.h.
const GET_RULE: u16 = TABLES | libc::NFT_MSG_GETRULE as u16;
const RULE: u16 = TABLES | libc::NFT_MSG_NEWRULE as u16;
const RULE_TABLE: u16 = 1;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// libnftnl/udata.h: a rule's comment, among what programs keep beside it.
const COMMENT: u8 = 0;

/// The counters of all rules of a table that have a comment and count, in their order. Those of one comment are added up:
/// one key of a profile may be several rules.
///
/// # Errors
/// There is no such table, and of the socket.
pub fn read(table: &str, socket: &Netfilter) -> Result<Vec<Counter>> {
    let request = Writing::netfilter(GET_RULE, libc::NLM_F_DUMP, 1, INET, 0).text(RULE_TABLE, table).bytes();
    let mut counters: Vec<Counter> = Vec::new();
    let mut rules = 0;
    let listed = socket.list(&request, |message| {
        rules += 1;
        let Some(found) = rule(&message, table) else { return };
        match counters.iter_mut().find(|counter| counter.rule == found.rule) {
            Some(counter) => {
                counter.packets = counter.packets.saturating_add(found.packets);
                counter.bytes = counter.bytes.saturating_add(found.bytes);
            }
            None => counters.push(found),
        }
    });
    match listed {
        // The kernel lists the rules of no table without a word.
        Ok(()) if rules == 0 => Err(Error::new(format!("there is no table {table}"))),
        Ok(()) => Ok(counters),
        Err(Listing::Other(error)) => Err(error),
        Err(Listing::Kernel(errno)) => Err(Error::new(format!("rules of table {table}: {}", errno.desc()))),
    }
}

/// The counter of one rule, if it is of this table, and has one and a comment.
fn rule(message: &Message<'_>, table: &str) -> Option<Counter> {
    let attributes = Attributes(message.body.get(GENERAL..).filter(|_| message.kind == RULE)?);
    // Kernels that do not know the condition list all tables' rules.
    if attributes.text(RULE_TABLE)? != table {
        return None;
    }
    let rule = comment(attributes.value(RULE_USERDATA)?)?;
    let expressions = attributes.within(RULE_EXPRESSIONS)?.filter(|(kind, _)| *kind == ELEMENT);
    let mut counted = expressions.filter_map(|(_, expression)| {
        let expression = Attributes(expression);
        let data = expression
            .within(EXPRESSION_DATA)
            .filter(|_| expression.text(EXPRESSION_NAME).as_deref() == Some("counter"))?;
        Some((data.big_u64(COUNTER_PACKETS)?, data.big_u64(COUNTER_BYTES)?))
    });
    let (packets, bytes) = counted.next()?;
    Some(Counter { rule, packets, bytes })
}

/// The comment among what is kept beside a rule: each a byte of kind, one of length, and so many bytes.
pub(crate) fn comment(mut kept: &[u8]) -> Option<String> {
    while let Some((&[kind, length], rest)) = kept.split_first_chunk::<2>() {
        let (value, rest) = rest.split_at_checked(length.into())?;
        if kind == COMMENT {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        kept = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::comment;

    #[test]
    fn a_comment_is_found_among_others() {
        assert_eq!(comment(&[3, 1, 9, 0, 4, b'a', b'b', b'c', 0]).as_deref(), Some("abc"));
        for bytes in [&[][..], &[0], &[0, 5, b'a'], &[1, 0]] {
            assert_eq!(comment(bytes), None, "{bytes:?}");
        }
    }
}
