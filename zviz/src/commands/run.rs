//! `run`: create, start, wait, delete. Of a bundle here; a command in a sandbox in `sandbox.rs`.

use super::bundle::{Bundle, abandon};
use super::out::Out;
use super::{Context, Failure, apart, sandbox};
use crate::cli::{Run, Target};
use anyhow::Context as _;
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_runtime::console::{Relay, Terminal};
use zviz_runtime::foreground::{Budget, Output, Payload, Watch};
use zviz_runtime::ledger::Report;
use zviz_runtime::start::{self, Waiting};
use zviz_runtime::teardown;

pub fn run(context: &Context, run: &Run) -> Result<u8, Failure> {
    let mixed = |what| Failure { error: anyhow::Error::msg(what), code: if run.command.is_empty() { 1 } else { 125 } };
    match run.target().map_err(mixed)? {
        Target::Container(id) => Ok(apart(|| container(context, run, id))?),
        Target::Command(command) => apart(|| sandbox::run(context, run, command)),
    }
}

fn container(context: &Context, run: &Run, id: &str) -> anyhow::Result<u8> {
    let bundle = Bundle::load(context, &run.bundled, id, run.detach)?;
    let last_capability = bundle.last_capability();
    let receipt = Out::of("--receipt", run.receipt.as_deref())?;
    let report = Out::of("--report", run.report.as_deref())?;
    let store = context.store()?;
    let terminal = match bundle.terminal() && !run.detach {
        true => Some(Terminal::find()?),
        false => None,
    };
    let wall_time = bundle.wall_time();
    let waiting = if run.detach { Waiting::Nobody } else { Waiting::Caller };
    let mut watch = Watch::start(!run.no_subreaper)?;
    let (input, output, error) = (stdin(), stdout(), stderr());
    let mut meter = bundle.meter();
    let piped = meter.filter(|_| !bundle.terminal());
    let piped = piped.map(|_| Output::new([output.as_fd(), error.as_fd()])).transpose().context("pipe2")?;
    let (lines, theirs) = piped.unzip();
    let mut container = bundle.create(context, &store, theirs)?;
    let master = container.master.take();
    // Before the payload runs: its first bytes meet the settings of all others.
    let tied = master.map(|m: OwnedFd| Relay::new(m, terminal, input.as_fd(), output.as_fd())).transpose();
    let relay = match tied {
        Ok(relay) => relay,
        Err(error) => {
            abandon(context, container);
            return Err(error.into());
        }
    };
    let begun = Instant::now();
    // Further away than the clock reaches is never.
    let deadline = wall_time.and_then(|after| begun.checked_add(after));
    if let Err(error) = start::start_created(&store, &container, last_capability, waiting) {
        abandon(context, container);
        return Err(error.into());
    }
    if let Some(Err(error)) = receipt.map(|out| out.receipt(&container)) {
        abandon(context, container);
        return Err(error);
    }
    if let Err(error) = container.unlock() {
        abandon(context, container);
        return Err(error.into());
    }
    if run.detach {
        return Ok(0);
    }
    let most = container.state.plan.profile.limits.cpu_total.map(Duration::from_millis);
    let budget = match most.map(|most| Budget::open(&container.state.plan.cgroup, most)).transpose() {
        Ok(budget) => budget,
        Err(error) => {
            abandon(context, container);
            return Err(error.into());
        }
    };
    let mut kill = || teardown::signal(&container.state, libc::SIGKILL).map_err(|_| nix::errno::Errno::ESRCH);
    let mut payload = Payload::new(container.pid, container.pidfd.as_fd());
    (payload.deadline, payload.budget) = (deadline, budget);
    payload.kill = Some(&mut kill);
    (payload.relay, payload.output, payload.meter) = (relay, lines, meter.as_mut());
    payload.broker = container.vital_broker();
    let outcome = watch.until_end(payload);
    let told = outcome.as_ref().ok().copied();
    let told = told.map(|outcome| Report::of(&container.state, outcome, begun.elapsed(), meter, report.is_some()));
    if !run.keep {
        for error in start::finish(container)? {
            context.log.warn(&error.to_string());
        }
    }
    if let Some(told) = told {
        told.verdict.lines().for_each(|line| context.log.warn(&line));
        sandbox::write_report(&told, report.as_ref())?;
    }
    Ok(outcome?.status())
}
