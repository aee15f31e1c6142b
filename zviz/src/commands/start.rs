//! `start`: lets a created container run.

use super::Context;
use crate::cli::One;
use anyhow::Context as _;
use zviz_runtime::{Host, sealed, start};

pub fn run(context: &Context, one: &One) -> anyhow::Result<()> {
    let (store, locked, state) = context.locked_in_store(&one.id)?;
    if !state.plan.hooks.start_container.is_empty() {
        // They are programs of the image, started by this one from inside the container. Executed again, the lock is let
        // go of and taken anew.
        sealed::ensure().context("seal the runtime's binary")?;
    }
    let host = Host::probe()?;
    Ok(start::start(&store, &locked, &state, host.last_capability, start::Waiting::Nobody)?)
}
