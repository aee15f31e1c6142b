//! `pause` and `resume`: a container stands still, and goes on.

use super::Context;
use crate::cli::One;
use anyhow::bail;
use zviz_runtime::apply::cgroup;
use zviz_runtime::container::Status;

/// `pause`
pub fn pause(context: &Context, one: &One) -> anyhow::Result<()> {
    let (locked, state) = context.locked(&one.id)?;
    match locked.status(&state)? {
        Status::Running | Status::Created => Ok(cgroup::freeze(&state.plan.cgroup)?),
        _ => bail!("container not running: {}", one.id),
    }
}

/// `resume`
pub fn resume(context: &Context, one: &One) -> anyhow::Result<()> {
    let (locked, state) = context.locked(&one.id)?;
    match locked.status(&state)? {
        Status::Paused => Ok(cgroup::thaw(&state.plan.cgroup)?),
        _ => bail!("container not paused: {}", one.id),
    }
}
