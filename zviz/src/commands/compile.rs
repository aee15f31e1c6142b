//! `compile`: a profile in the forms that its layers take.

use super::{Context, print};
use crate::cli::Compile as Flags;
use anyhow::{anyhow, bail};
use std::fmt::Write;
use zviz_runtime::Host;
use zviz_runtime::profile::artefacts::{self, Compiled};
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower::Context as Home;
use zviz_runtime::sandbox::Sandbox;

pub fn run(context: &Context, flags: &Flags) -> anyhow::Result<()> {
    if flags.list {
        return list(flags);
    }
    let name = flags.profile.as_deref().unwrap_or_default();
    let compiled = artefacts::make(&Search::of_user(), name, &Home::of_caller()).map_err(|what| anyhow!(what))?;
    for note in &compiled.manifest.profile.notes {
        context.log.warn(&note.to_string());
    }
    if flags.check_host {
        check_host(context, &compiled)?;
    }
    match (flags.show, flags.validate || flags.check_host) {
        (true, _) => print(&show(&compiled))?,
        (false, true) => {}
        (false, false) => {
            compiled.write(&flags.output).map_err(|what| anyhow!(what))?;
            let written = compiled.files.iter().map(|(file, _)| flags.output.join(file).display().to_string() + "\n");
            print(&written.collect::<String>())?;
        }
    }
    Ok(())
}

/// What would be said if a command were run under it here.
fn check_host(context: &Context, compiled: &Compiled) -> anyhow::Result<()> {
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.profile(compiled.manifest.profile.clone()).cwd("/");
    let decided = sandbox.decide(&context.store()?, Host::probe()?)?;
    for note in &decided.plan.notes {
        context.log.warn(&note.to_string());
    }
    Ok(())
}

fn show(compiled: &Compiled) -> String {
    let mut text = String::new();
    for input in &compiled.manifest.inputs {
        let _ = writeln!(text, "made of {} ({} bytes, sha256 {})", input.file, input.bytes, input.sha256);
    }
    for rule in compiled.manifest.rules.iter().filter(|rule| !rule.by.is_empty()) {
        let artefacts =
            if rule.artefacts.is_empty() { String::new() } else { format!(" in {}", rule.artefacts.join(", ")) };
        let _ = writeln!(text, "{}: {}: {}{artefacts}", rule.place, rule.key, rule.by);
    }
    let _ = write!(text, "{}", compiled.program);
    text
}

fn list(flags: &Flags) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut names: Vec<String> = std::fs::read_dir(&flags.output)
        .map_err(|error| anyhow!("{}: {error}", flags.output.display()))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".manifest.json").map(str::to_owned))
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in names {
        match artefacts::load(&flags.output, Some(&name), &Home::of_caller()) {
            Ok(_) => writeln!(text, "{name}").map_err(anyhow::Error::from)?,
            Err(what) => wrong.push(what),
        }
    }
    print(&text)?;
    if wrong.is_empty() { Ok(()) } else { bail!(wrong.join("\n")) }
}
