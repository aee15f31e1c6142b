//! What is left of a container's network is taken away. What is gone already is no error.

use crate::error::{Error, Result};
use crate::netfilter::Netfilter;
use crate::rules;
use crate::up::Descriptors;
use zviz_network::wire::Down;

/// Takes it away. All of it is tried; the first error is told.
///
/// # Errors
/// What could not be taken away.
pub fn take(down: &Down, descriptors: &Descriptors) -> Result<()> {
    let mut result = Ok(());
    if !down.tables.is_empty() {
        let host = Netfilter::open()?;
        for table in &down.tables {
            result = result.and(rules::remove(table, &host));
        }
    }
    if !down.links.is_empty() {
        return Err(Error::new("links cannot be removed yet"));
    }
    if let Some(table) = &down.inside {
        let inside = descriptors.enter().and_then(|()| rules::remove(table, &Netfilter::open()?));
        result = result.and(inside);
    }
    result
}
