//! `start`: lets a created container run.

use super::Context;
use crate::cli::One;
use zviz_runtime::{Host, start};

pub fn run(context: &Context, one: &One) -> anyhow::Result<()> {
    let (store, locked, state) = context.locked_in_store(&one.id)?;
    let host = Host::probe()?;
    Ok(start::start(&store, &locked, &state, host.last_capability)?)
}
