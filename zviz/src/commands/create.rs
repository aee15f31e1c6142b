//! `create`: a container from a bundle, up to where it waits for `start`.

use super::Context;
use super::bundle::Bundle;
use crate::cli::Create;

pub fn run(context: &Context, create: &Create) -> anyhow::Result<()> {
    let bundle = Bundle::load(context, &create.bundled, &create.id, true)?;
    if bundle.wall_time().is_some() {
        anyhow::bail!("a wall time needs somebody who waits: run in the foreground");
    }
    bundle.create(context, &context.store()?)?;
    Ok(())
}
