//! A table that several containers put in force, marked by what it holds.

use crate::attributes::{Attributes, Messages, Writing};
use crate::error::{Error, Result};
use crate::netfilter::{GENERAL, INET, Netfilter, TABLES};
use crate::netlink::said;
use nix::errno::Errno;
use nix::libc;
use zviz_network::rules::Ruleset;
use zviz_nftnl::message::Message;

/// Kinds of messages and attributes of linux/netfilter/nf_tables.h.
const GET_TABLE: u16 = TABLES | libc::NFT_MSG_GETTABLE as u16;
const NEW_TABLE: u16 = TABLES | libc::NFT_MSG_NEWTABLE as u16;
const NAME: u16 = 1;
const USERDATA: u16 = 6;

/// libnftnl/udata.h: the comment of a table, which nft(8) prints.
const COMMENT: u8 = 0;

/// What marks these rules: FNV-1a, which tells versions of zviz apart, and protects from nobody.
pub fn mark(ruleset: &Ruleset) -> Result<String> {
    let bytes = serde_json::to_vec(ruleset).map_err(|error| Error::new(error.to_string()))?;
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    Ok(format!("zviz {hash:016x}"))
}

/// The mark of a table that is in force; none if there is no such table, or it has none.
pub fn marked(table: &str, socket: &Netfilter) -> Result<Option<String>> {
    socket.send(&Writing::netfilter(GET_TABLE, 0, 1, INET, 0).text(NAME, table).bytes())?;
    let answer = socket.receive()?.unwrap_or_default();
    let first = Messages(&answer).next().ok_or_else(|| Error::new("netfilter does not answer"))?;
    match said(&first).and_then(|said| said.errno) {
        Some(Errno::ENOENT) => return Ok(None),
        Some(errno) => return Err(Error::new(format!("table {table}: {}", errno.desc()))),
        None => {}
    }
    let kept = first.body.get(GENERAL..).and_then(|body| Attributes(body).value(USERDATA));
    Ok(kept.and_then(crate::counters::comment))
}

/// The message that makes a table, with its mark if it has one; `new` if it is an error that it is there.
pub fn table(name: &str, mark: Option<&str>, new: bool) -> Result<Message> {
    let flags = if new { libc::NLM_F_CREATE | libc::NLM_F_EXCL } else { libc::NLM_F_CREATE };
    let mut message = Writing::netfilter(NEW_TABLE, flags, 1, INET, 0).text(NAME, name);
    if let Some(mark) = mark {
        let length = u8::try_from(mark.len() + 1).map_err(|_| Error::new("a mark that is too long"))?;
        message = message.with(USERDATA, &[&[COMMENT, length], mark.as_bytes(), &[0]].concat());
    }
    Message::new(message.bytes()).ok_or_else(|| Error::new("a table's name that is too long"))
}
