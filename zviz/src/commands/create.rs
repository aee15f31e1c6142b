//! `create`: a container from a bundle, up to where it waits for `start`.

use super::Context;
use super::bundle::Bundle;
use crate::cli::Create;

pub fn run(context: &Context, create: &Create) -> anyhow::Result<()> {
    let bundle = Bundle::load(context, &create.bundled, &create.id, true)?;
    bundle.create(context, &context.store()?)?;
    Ok(())
}
