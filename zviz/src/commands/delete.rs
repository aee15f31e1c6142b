//! `delete`: what is left of a container.

use super::Context;
use crate::cli::Delete;
use zviz_runtime::container::Id;
use zviz_runtime::store::Error;
use zviz_runtime::teardown;

pub fn run(context: &Context, delete: &Delete) -> anyhow::Result<()> {
    let id = Id::new(&*delete.id)?;
    let locked = match context.lock(&id) {
        Err(Error::Absent(_)) if delete.force => return Ok(()),
        locked => locked?,
    };
    let state = match locked.load() {
        Ok(state) => state,
        // `create` died before it had made anything else.
        Err(error @ Error::Absent(_)) => {
            teardown::forget(locked)?;
            return if delete.force { Ok(()) } else { Err(error.into()) };
        }
        // Only what nobody could read: a file that cannot be opened or read now may be later.
        Err(error @ Error::State { .. }) if delete.force => {
            teardown::forget(locked)?;
            return Err(anyhow::Error::from(error).context("forgotten, but its processes and cgroup are not known"));
        }
        Err(error) => return Err(error.into()),
    };
    for error in teardown::delete(locked, &state, delete.force)? {
        context.log.warn(&error.to_string());
    }
    Ok(())
}
