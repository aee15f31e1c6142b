//! `create`: a container from a bundle, up to where it waits for `start`.

use super::Context;
use super::bundle::{Bundle, abandon};
use super::out::Out;
use crate::cli::Create;

pub fn run(context: &Context, create: &Create) -> anyhow::Result<()> {
    let bundle = Bundle::load(context, &create.bundled, &create.id, true)?;
    let receipt = Out::of("--receipt", create.receipt.as_deref())?;
    let container = bundle.create(context, &context.store()?, None)?;
    if let Some(Err(error)) = receipt.map(|out| out.receipt(&container)) {
        abandon(context, container);
        return Err(error);
    }
    Ok(())
}
