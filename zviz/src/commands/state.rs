//! `state`: one container, as JSON.

use super::{Context, print};
use crate::cli::One;
use zviz_runtime::receipt::{Machine, Receipt};

pub fn run(context: &Context, one: &One) -> anyhow::Result<()> {
    let (entry, state) = context.entry(&one.id)?;
    let status = entry.status(&state)?;
    let mut report = state.report(status, String::new());
    report.ended = entry.ended();
    let machine = Machine::look()?;
    report.receipt = Receipt::of(&state, &machine);
    let report = serde_json::to_string_pretty(&report)?;
    Ok(print(&(report + "\n"))?)
}
