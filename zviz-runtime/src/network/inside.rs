//! What is in force inside a container's network namespace.

use super::Error;
use crate::plan::network::Network;
use zviz_network::rules::Ruleset;
use zviz_network::wire::Resolver;

/// Rules, and who answers for names.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub rules: Option<Ruleset>,
    pub resolver: Option<Resolver>,
}

/// Those of a plan.
pub(super) fn of(_network: &Network, _table: &str) -> Result<Inside, Error> {
    Ok(Inside::default())
}
