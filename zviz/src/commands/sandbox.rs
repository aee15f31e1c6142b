//! `run -- COMMAND`: one command in a sandbox, in the foreground.

use super::out::Out;
use super::{Context, Failure, apart, explain, stage};
use crate::cli;
use anyhow::Context as _;
use std::io::{IsTerminal, stdin, stdout};
use zviz_runtime::console::Terminal;
use zviz_runtime::container::Id;
use zviz_runtime::ledger::Report;
use zviz_runtime::receipt::Receipt;
use zviz_runtime::sandbox::running::Tell;
use zviz_runtime::sandbox::{Error, Flags, Sandbox};
use zviz_runtime::store::Store;
use zviz_runtime::{Host, sealed};

/// What a shell answers where the sandbox itself is at fault: not the command's own code.
const NO_SANDBOX: u8 = 125;

pub fn run(context: &Context, run: &cli::Run, command: &[String]) -> Result<u8, Failure> {
    sandboxed(context, run, command).map_err(|error| {
        let status = error.downcast_ref::<Error>().and_then(Error::program_status);
        Failure { code: status.unwrap_or(NO_SANDBOX), error }
    })
}

fn sandboxed(context: &Context, run: &cli::Run, command: &[String]) -> anyhow::Result<u8> {
    let flags = &run.sandbox;
    let told = Told {
        receipt: Out::of("--receipt", run.receipt.as_deref())?,
        report: Out::of("--report", run.report.as_deref())?,
    };
    let explain = flags.explain.as_deref().map(|form| explain::asked(form, flags)).transpose()?;
    let has_terminal = stdin().is_terminal() && stdout().is_terminal();
    let mut sandbox = asked(flags, has_terminal).sandbox(command.to_vec())?;
    let host = Host::probe()?;
    if !sandbox.has_ids_of_its_own(&host) {
        sealed::ensure()?;
    }
    sandbox.refusals(explain.is_some());
    // Before the store is made, so that a wrong name leaves nothing.
    flags.id.as_deref().map(Id::new).transpose()?;
    let store = context.store()?;
    let stage = match &flags.stage {
        Some(name) if flags.json => {
            sandbox.stage(stage::planned(name)?);
            None
        }
        Some(name) => {
            let taken = apart(|| stage::take(name))?;
            sandbox.stage(taken.layers());
            Some(taken)
        }
        None => None,
    };
    let beside = Beside { json: flags.json, net_log: flags.net_log, has_terminal, told, explain };
    let ended = decide_and_run(context, sandbox, &store, host, beside);
    if let Some(stage) = stage {
        stage.end(context);
    }
    ended
}

/// What is wanted beside the run.
struct Beside {
    json: bool,
    net_log: bool,
    has_terminal: bool,
    told: Told,
    explain: Option<explain::Asked>,
}

fn decide_and_run(
    context: &Context,
    sandbox: Sandbox,
    store: &Store,
    host: Host,
    beside: Beside,
) -> anyhow::Result<u8> {
    let Beside { json, net_log, has_terminal, told, explain } = beside;
    let mut decided = sandbox.decide(store, host)?;
    if net_log {
        decided.tell_connections(|event| eprintln!("zviz: network: {event}"));
    }
    decided.tell_of_network(|event| eprintln!("zviz: network: {event}"));
    let explainer = explain.map(|asked| asked.explainer(&mut decided.plan, has_terminal));
    if let Some(why) = decided.forced() {
        context
            .log
            .warn(&format!("{why}; the profile agrees to --backend landlock, which keeps less (docs/landlock.md)"));
    }
    for note in &decided.plan.notes {
        context.log.debug(|| note.to_string());
    }
    if json {
        super::print(&(serde_json::to_string_pretty(&decided.plan)? + "\n"))?;
        return Ok(0);
    }
    let terminal = has_terminal.then(Terminal::find).transpose()?;
    let Told { receipt, report: place } = told;
    let written = receipt.map(|out| move |receipt: &Receipt<'_>| out.write(&receipt.to_json()?));
    let tell = written.as_ref().map(|written| written as &Tell<'_>);
    let (status, report) = match explainer {
        Some(explainer) => apart(|| explain::run(context, decided, store, terminal, tell, explainer))?,
        None => {
            let (outcome, report) = decided.run_and_tell(store, terminal, tell, place.is_some())?;
            (outcome.status(), report)
        }
    };
    report.verdict.lines().for_each(|line| context.log.warn(&line));
    write_report(&report, place.as_ref())?;
    Ok(status)
}

/// Where documents go.
struct Told {
    receipt: Option<Out>,
    report: Option<Out>,
}

/// Writes a report where it is wanted.
pub fn write_report(report: &Report, out: Option<&Out>) -> anyhow::Result<()> {
    match out {
        Some(out) => out.write(&report.to_json()?).context("--report"),
        None => Ok(()),
    }
}

pub(super) fn asked(flags: &cli::Sandbox, terminal: bool) -> Flags {
    let value = |value: Option<&str>| value.map(str::to_owned);
    Flags {
        rw: flags.rw.clone(),
        ro: flags.ro.clone(),
        tmpfs: flags.tmpfs.clone(),
        env: flags.env.clone(),
        cwd: flags.cwd.clone(),
        user: flags.user.clone(),
        hostname: flags.hostname.clone(),
        memory: flags.memory.clone(),
        pids: flags.pids.clone(),
        cpus: flags.cpus.clone(),
        timeout: flags.timeout.clone(),
        net: value(flags.net.map(|net| match net {
            cli::Network::None => "none",
            cli::Network::Host => "host",
            cli::Network::Bridge => "bridge",
            cli::Network::Pasta => "pasta",
            cli::Network::Private => "private",
        })),
        net_log: flags.net_log,
        publish: flags.publish.clone(),
        backend: value(flags.backend.map(cli::Backend::name)),
        userns: value(flags.userns.map(|userns| match userns {
            cli::Userns::Auto => "auto",
            cli::Userns::Identity => "identity",
        })),
        id: flags.id.clone(),
        rootfs: flags.rootfs.as_ref().map(|path| path.to_string_lossy().into_owned()),
        ask: flags.ask.clone(),
        audit: flags.audit.clone(),
        profile: flags.profile.clone(),
        compiled: flags.compiled.as_ref().map(|path| path.to_string_lossy().into_owned()),
        terminal,
    }
}
