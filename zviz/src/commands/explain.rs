//! `run --explain`: a sandbox whose denials are told as they come, and kept for `zviz why`.

use super::Context;
use crate::cli;
use anyhow::Context as _;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use zviz_runtime::console::Terminal;
use zviz_runtime::explain::{Explainer, Form, Telling, lines};
use zviz_runtime::ledger::Report;
use zviz_runtime::plan::Plan;
use zviz_runtime::sandbox::Decided;
use zviz_runtime::sandbox::running::Tell;
use zviz_runtime::store::Store;
use zviz_runtime::why::{Ending, Rules};

/// What `--explain` says.
pub struct Asked {
    form: Form,
    file: Option<File>,
    rules: Rules,
}

/// Reads it, and finds the lines of the profile that the sandbox is under.
pub fn asked(text: &str, flags: &cli::Sandbox) -> anyhow::Result<Asked> {
    let at = || format!("--explain={text}");
    let (form, file) = match text.split_once(':') {
        None if text == "text" => (Form::Text, None),
        None if text == "json" => (Form::Json, None),
        Some(("json", path)) if !path.is_empty() => (Form::Json, Some(made(path).with_context(at)?)),
        _ => anyhow::bail!("--explain={text}: text, json or json:FILE"),
    };
    let rules =
        lines(flags.profile.as_deref(), flags.compiled.as_deref()).map_err(anyhow::Error::msg).with_context(at)?;
    Ok(Asked { form, file, rules })
}

/// A file for its owner alone: what a program asked for tells much of it.
fn made(path: &str) -> io::Result<File> {
    // Nor does a pipe that an earlier program left, and nobody reads, hold this up.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}

impl Asked {
    /// Who explains a plan, which is noted in it.
    pub fn explainer(self, plan: &mut Plan, has_terminal: bool) -> Explainer {
        let raw = has_terminal && self.file.is_none() && io::stderr().is_terminal();
        let out: Box<dyn Write + Send> = match self.file {
            Some(file) => Box::new(file),
            None => Box::new(io::stderr()),
        };
        Explainer::new(plan, self.rules, Telling::new(self.form, out, raw))
    }
}

/// Runs it.
pub fn run(
    context: &Context,
    decided: Decided,
    store: &Store,
    terminal: Option<Terminal>,
    tell: Option<&Tell<'_>>,
    explainer: Explainer,
) -> anyhow::Result<(u8, Report)> {
    let (id, timeout) = (decided.id().clone(), decided.timeout());
    let observed = decided.observe(store, terminal, tell, explainer)?;
    let ending = Ending { outcome: observed.outcome, memory_kills: observed.memory_kills, timeout };
    let mut explainer = observed.report;
    explainer.refused(&observed.ended.refused);
    explainer.recorded(observed.recorded);
    let record = explainer.end(id.as_str(), &ending);
    if let Err(error) = record.keep(store) {
        context.log.warn(&format!("what was denied is not kept for zviz why: {error}"));
    }
    Ok((observed.outcome.status(), observed.ended))
}
