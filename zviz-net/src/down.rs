//! What is left of a container's network is taken away. What is gone already is no error.

use crate::error::{Error, Result};
use crate::links::forget_the_gone;
use crate::links::route::Route;
use crate::netfilter::Netfilter;
use crate::rules;
use crate::up::Descriptors;
use zviz_network::rules::TABLE_PREFIX;
use zviz_network::wire::Down;

/// Names of devices that are zviz's begin so: those of containers, and the bridge.
const LINKS: &str = "zv";

/// Takes it away. All of it is tried; the first error is told.
///
/// # Errors
/// What could not be taken away, and what is not zviz's.
pub fn take(down: &Down, descriptors: &Descriptors) -> Result<()> {
    let foreign = |name: &&String, start| !name.starts_with(start);
    let tables = down.tables.iter().chain(&down.inside).find(|name| foreign(name, TABLE_PREFIX));
    if let Some(name) = tables.or_else(|| down.links.iter().find(|name| foreign(name, LINKS))) {
        return Err(Error::new(format!("{name:?} is none of zviz's")));
    }
    let mut result = Ok(());
    if !down.tables.is_empty() {
        let host = Netfilter::open()?;
        for table in &down.tables {
            result = result.and(rules::remove(table, &host));
        }
    }
    if !down.links.is_empty() {
        let route = Route::open()?;
        for link in &down.links {
            result = result.and(route.remove(link));
        }
        result = result.and(forget_the_gone(&route));
    }
    // Last: there is no way back.
    if let Some(table) = &down.inside {
        let inside = descriptors.enter().and_then(|()| rules::remove(table, &Netfilter::open()?));
        result = result.and(inside);
    }
    result
}
