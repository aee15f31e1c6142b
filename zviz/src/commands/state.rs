//! `state`: one container, as JSON.

use super::{Context, print};
use crate::cli::One;

pub fn run(context: &Context, one: &One) -> anyhow::Result<()> {
    let (entry, state) = context.entry(&one.id)?;
    let status = entry.status(&state)?;
    let report = serde_json::to_string_pretty(&state.report(status, String::new()))?;
    Ok(print(&(report + "\n"))?)
}
