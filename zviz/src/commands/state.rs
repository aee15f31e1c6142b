//! `state`: one container, as JSON.

use super::{Context, print};
use crate::cli::One;

pub fn run(context: &Context, one: &One) -> anyhow::Result<()> {
    let (entry, state) = context.entry(&one.id)?;
    let status = entry.status(&state)?;
    let mut report = state.report(status, String::new());
    report.ended = entry.ended();
    let report = serde_json::to_string_pretty(&report)?;
    Ok(print(&(report + "\n"))?)
}
