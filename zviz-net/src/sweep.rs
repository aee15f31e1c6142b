//! What bears zviz's names in this network namespace, so that `gc` can tell what nobody owns any more.

use crate::attributes::{Attributes, Writing};
use crate::error::{Error, Result};
use crate::links::route::Route;
use crate::netfilter::{GENERAL, INET, Netfilter, TABLES};
use crate::netlink::Listing;
use nix::libc;
use zviz_network::rules::TABLE_PREFIX;

/// Devices of containers begin so.
pub const LINK_PREFIX: &str = "zv-";

/// Kinds of linux/netfilter/nf_tables.h.
const GET_TABLE: u16 = TABLES | libc::NFT_MSG_GETTABLE as u16;
const TABLE: u16 = TABLES | libc::NFT_MSG_NEWTABLE as u16;
const TABLE_NAME: u16 = 1;

/// Names of tables and of links.
///
/// # Errors
/// Of the sockets.
pub fn list() -> Result<(Vec<String>, Vec<String>)> {
    let mut tables = Vec::new();
    let request = Writing::netfilter(GET_TABLE, libc::NLM_F_DUMP, 1, INET, 0).bytes();
    let listed = Netfilter::open()?.list(&request, |message| {
        let attributes = message.body.get(GENERAL..).filter(|_| message.kind == TABLE).map(Attributes);
        tables.extend(attributes.and_then(|attributes| attributes.text(TABLE_NAME)));
    });
    match listed {
        Ok(()) => {}
        Err(Listing::Other(error)) => return Err(error),
        Err(Listing::Kernel(errno)) => return Err(Error::new(format!("list of tables: {}", errno.desc()))),
    }
    tables.retain(|table| table.starts_with(TABLE_PREFIX));
    let links = Route::open()?.links()?.into_iter().map(|link| link.name);
    Ok((tables, links.filter(|name| name.starts_with(LINK_PREFIX)).collect()))
}
