//! `learn -- COMMAND`: what a command needs, as a profile.

use super::place::Place;
use super::sandbox::asked;
use super::{Context, Failure};
use crate::cli;
use anyhow::{anyhow, bail};
use std::io::{IsTerminal, stdin, stdout};
use zviz_runtime::console::Terminal;
use zviz_runtime::learn::{Denied, Learned, Limits, Lists, Needs, Surroundings, added, profile};
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower;
use zviz_runtime::sandbox::{Error, Observed, Sandbox};
use zviz_runtime::{Host, Profile, sealed};

/// As with `run`.
const NO_SANDBOX: u8 = 125;

pub fn run(context: &Context, learn: &cli::Learn) -> Result<u8, Failure> {
    let done = match &learn.frozen {
        Some(name) => frozen(context, learn, name),
        None => learned(context, learn),
    };
    done.map_err(|error| {
        let of_sandbox = error.downcast_ref::<Error>().map(|error| error.program_status().unwrap_or(NO_SANDBOX));
        Failure { code: of_sandbox.unwrap_or(1), error }
    })
}

/// Runs the command under a profile, and looks on.
fn observe(context: &Context, learn: &cli::Learn, under: Profile) -> anyhow::Result<Observed<Needs>> {
    let has_terminal = stdin().is_terminal() && stdout().is_terminal();
    let flags = cli::Sandbox {
        rw: learn.rw.clone(),
        ro: learn.ro.clone(),
        env: learn.env.clone(),
        timeout: learn.timeout.clone(),
        net: learn.net,
        ..cli::Sandbox::default()
    };
    let mut sandbox: Sandbox = asked(&flags, has_terminal).sandbox(learn.command.clone())?;
    sandbox.profile(under);
    let host = Host::probe()?;
    if !sandbox.has_ids_of_its_own(&host) {
        sealed::ensure()?;
    }
    let store = context.store()?;
    let decided = sandbox.decide(&store, host)?;
    for note in &decided.plan.notes {
        context.log.debug(|| note.to_string());
    }
    let terminal = has_terminal.then(Terminal::find).transpose()?;
    Ok(decided.observe(&store, terminal, None, Needs::default())?)
}

fn home() -> Option<String> {
    std::env::var("HOME").ok().filter(|home| home.starts_with('/'))
}

/// A path as it is inside: absolute, without links.
fn real(path: &str) -> Option<String> {
    let real = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()?;
    real.into_os_string().into_string().ok()
}

fn around(learn: &cli::Learn) -> Surroundings {
    let cwd = std::env::current_dir().ok().and_then(|path| path.into_os_string().into_string().ok());
    let path = std::env::var("PATH").unwrap_or_default();
    Surroundings {
        cwd: cwd.filter(|cwd| zviz_runtime::sandbox::is_shared(cwd)),
        home: home().and_then(|home| real(&home)),
        shares: learn.rw.iter().chain(&learn.ro).filter_map(|path| real(path)).collect(),
        agent: std::env::var("SSH_AUTH_SOCK").ok(),
        allowed: learn.allow_secret.iter().filter_map(|path| real(path)).collect(),
        program: learn.command.first().and_then(|name| zviz_runtime::learn::command(name, &path)),
    }
}

fn learned(context: &Context, learn: &cli::Learn) -> anyhow::Result<u8> {
    let shared = learn.rw.iter().chain(&learn.ro).find(|share| share.contains(':'));
    if let Some(share) = shared {
        bail!("{share}: a profile names paths that are the same inside and outside");
    }
    let under = Search::of_user().profile(&learn.profile, &lower::Context { home: home() });
    let around = around(learn);
    // Readable for all, and written by its owner alone, as profiles must be.
    let place = learn.output.as_deref().map(|path| Place::take(path, 0o644)).transpose()?;
    let seen = observe(context, learn, under.map_err(|why| anyhow!(why))?)?;
    let file = learn.output.as_deref();
    let name = learn.name.as_deref().or(file.and_then(|path| path.file_stem()?.to_str())).unwrap_or("learned");
    let text = profile(&Learned {
        name,
        command: &shown_command(&learn.command),
        needs: &seen.report,
        lists: &Lists::of(&seen.report, &around),
        limits: &Limits::of(&seen.report, &seen.summary, seen.memory_peak),
        network: learn.net == Some(cli::Network::Host),
        secrets: &around.allowed,
    });
    let shown = file.map_or_else(|| "the profile".to_owned(), |path| path.display().to_string());
    let read = zviz_profile::Text { file: shown.clone(), text: text.clone() };
    // Whatever was seen, what is written is a profile.
    let document = zviz_profile::read(&read, &|other| Err(format!("there is no profile {other:?}")))?;
    match place {
        Some(place) => place.write(&text)?,
        None => super::print(&text)?,
    }
    let status = seen.outcome.status();
    if status != 0 {
        context.log.warn(&format!("the command ended with {status}: {shown} has what it needed until then"));
    }
    if seen.report.left_out() > 0 {
        context.log.warn(&format!("it named more files than are kept in mind: {shown} may miss some"));
    }
    if learn.check {
        let under = lower::lower(&document, &lower::Context { home: home() })?;
        let again = observe(context, learn, under)?;
        whole(&again.report)?;
        let denied = Denied::between(&seen.report, &again.report, &around);
        if again.outcome != seen.outcome {
            let lines: String = denied.iter().map(|denied| format!("\n{denied}")).collect();
            bail!("under {shown} it ends with {}, and not with {status}{lines}", again.outcome.status());
        }
        if !denied.is_empty() {
            let lines: Vec<String> = denied.iter().map(Denied::to_string).collect();
            bail!("under {shown} it is refused:\n{}", lines.join("\n"));
        }
    }
    Ok(status)
}

/// Without its arguments, in which tokens and passwords are: a profile is for others to read.
fn shown_command(command: &[String]) -> String {
    let program = command.first().map(String::as_str).unwrap_or_default();
    match command.len().saturating_sub(1) {
        0 => program.to_owned(),
        1 => format!("{program}, with an argument"),
        more => format!("{program}, with {more} arguments"),
    }
}

/// Whether nothing can have been missed that it was refused.
fn whole(needs: &Needs) -> anyhow::Result<()> {
    if needs.left_out() > 0 {
        bail!("it named more files than are kept in mind: what it was refused is not known");
    }
    Ok(())
}

fn frozen(context: &Context, learn: &cli::Learn, name: &str) -> anyhow::Result<u8> {
    let under = Search::of_user().profile(name, &lower::Context { home: home() }).map_err(|why| anyhow!(why))?;
    let seen = observe(context, learn, under.clone())?;
    whole(&seen.report)?;
    match added(&under, &seen.report, &around(learn), name) {
        None => Ok(seen.outcome.status()),
        Some(difference) => {
            super::print(&difference)?;
            bail!("{name} does not grant all that the command asks for")
        }
    }
}
