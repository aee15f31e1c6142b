//! `run`: create, start, wait, delete. Of a bundle here; a command in a sandbox in `sandbox.rs`.

use super::bundle::{Bundle, abandon};
use super::out::Out;
use super::{Context, Failure, sandbox};
use crate::cli::{Run, Target};
use std::io::{stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use zviz_runtime::console::{Relay, Terminal};
use zviz_runtime::foreground::{Deadline, Payload, Watch};
use zviz_runtime::start::{self, Waiting};
use zviz_runtime::teardown;

pub fn run(context: &Context, run: &Run) -> Result<u8, Failure> {
    let mixed = |what| Failure { error: anyhow::Error::msg(what), code: if run.command.is_empty() { 1 } else { 125 } };
    match run.target().map_err(mixed)? {
        Target::Container(id) => Ok(container(context, run, id)?),
        Target::Command(command) => sandbox::run(context, run, command),
    }
}

fn container(context: &Context, run: &Run, id: &str) -> anyhow::Result<u8> {
    let bundle = Bundle::load(context, &run.bundled, id, run.detach)?;
    let last_capability = bundle.last_capability();
    let receipt = Out::of("--receipt", run.receipt.as_deref())?;
    let store = context.store()?;
    let terminal = match bundle.terminal() && !run.detach {
        true => Some(Terminal::find()?),
        false => None,
    };
    let wall_time = bundle.wall_time();
    let waiting = if run.detach { Waiting::Nobody } else { Waiting::Caller };
    let mut watch = Watch::start(!run.no_subreaper)?;
    let mut container = bundle.create(context, &store)?;
    let (input, output) = (stdin(), stdout());
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
    let deadline = wall_time.map(|after| Instant::now() + after);
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
    let mut kill = || teardown::signal(&container.state, libc::SIGKILL).map_err(|_| nix::errno::Errno::ESRCH);
    let mut payload = Payload::new(container.pid, container.pidfd.as_fd());
    payload.deadline = deadline.map(|at| Deadline { at, kill: &mut kill });
    payload.relay = relay;
    payload.broker = container.vital_broker();
    let outcome = watch.until_end(payload);
    if !run.keep {
        for error in start::finish(container)? {
            context.log.warn(&error.to_string());
        }
    }
    Ok(outcome?.status())
}
