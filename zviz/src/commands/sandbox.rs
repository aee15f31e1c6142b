//! `run -- COMMAND`: one command in a sandbox, in the foreground.

use super::{Context, Failure};
use crate::cli;
use nix::sys::signal::Signal;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use zviz_runtime::console::{Relay, Terminal};
use zviz_runtime::container::Id;
use zviz_runtime::foreground::{Deadline, Outcome, Payload, Watch};
use zviz_runtime::plan::Plan;
use zviz_runtime::sandbox::{self, Flags, subids};
use zviz_runtime::start::{self, Container, TakeMaster};
use zviz_runtime::store::Store;
use zviz_runtime::{Host, Profile, sealed};

/// What a shell answers where the sandbox itself is at fault: not the command's own code.
const NO_SANDBOX: u8 = 125;

/// Below the store, under a name that is no id.
const SUBIDS: &str = ".subids";

pub fn run(context: &Context, flags: &cli::Sandbox, command: &[String]) -> Result<u8, Failure> {
    sandboxed(context, flags, command).map_err(|error| {
        let status = error.downcast_ref::<start::Error>().and_then(start::Error::program_status);
        Failure { code: status.unwrap_or(NO_SANDBOX), error }
    })
}

fn sandboxed(context: &Context, flags: &cli::Sandbox, command: &[String]) -> anyhow::Result<u8> {
    let has_terminal = stdin().is_terminal() && stdout().is_terminal();
    let sandbox = asked(flags, has_terminal).sandbox(command.to_vec())?;
    let id = Id::new(match sandbox.asked_id() {
        Some(id) => id.to_owned(),
        None => made_up(),
    })?;
    let host = Host::probe()?;
    let limits = sandbox::enforceable_limits(&host, &host.cgroup);
    let store = context.store()?;
    // Ids of its own take a root that may map any: that of the first user namespace.
    let own_ids = !host.rootless && !host.user_namespace;
    if !own_ids {
        // With ids of its own, nobody inside is one who may write the runtime's binary.
        sealed::ensure()?;
    }
    let range = own_ids.then(|| subids::take(&store.path().join(SUBIDS))).transpose()?;
    let facts = sandbox::probe(&sandbox, limits, range.as_ref().map(subids::Range::base));
    let lowered = sandbox::lower(&sandbox, &facts)?;
    let plan = lowered.plan(&Profile::default(), &host, id.as_str())?;
    for note in &plan.notes {
        context.log.debug(|| note.to_string());
    }
    if flags.json {
        super::print(&(serde_json::to_string_pretty(&plan)? + "\n"))?;
        return Ok(0);
    }
    let deadline = lowered.timeout.map(|after| Instant::now() + after);
    let outcome = foreground(&store, id, plan, &host, has_terminal, deadline)?;
    drop(range);
    Ok(outcome.status())
}

fn foreground(
    store: &Store,
    id: Id,
    plan: Plan,
    host: &Host,
    has_terminal: bool,
    deadline: Option<Instant>,
) -> anyhow::Result<Outcome> {
    let terminal = has_terminal.then(Terminal::find).transpose()?;
    let mut watch = Watch::start(false)?;
    let (input, output) = (stdin(), stdout());
    let mut relay = None;
    // While init waits: the command's first bytes, and its first look at the size, meet what holds for all others.
    let tie: TakeMaster<'_> = Box::new(|master| {
        relay = Some(Relay::new(master, terminal, input.as_fd(), output.as_fd())?);
        Ok(())
    });
    let mut container = start::run(start::Request {
        store,
        id,
        oci_version: zviz_runtime::features::OCI_VERSION_MAX,
        bundle: Path::new("/"),
        plan,
        host,
        console: Some(tie),
        preserve_fds: 0,
        die_with_parent: true,
    })?;
    container.unlock();
    let pidfd = container.pidfd.as_fd();
    let mut kill = || zviz_sys::process::pidfd_send_signal(pidfd, Signal::SIGKILL as i32);
    let mut payload = Payload::new(container.pid, pidfd);
    payload.relay = relay;
    payload.deadline = deadline.map(|at| Deadline { at, kill: &mut kill });
    let outcome = watch.until_end(payload).map_err(anyhow::Error::from);
    end(store, container, outcome)
}

/// Leaves nothing behind, whatever became of the wait.
fn end(store: &Store, container: Container, outcome: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
    match outcome {
        Ok(outcome) => {
            start::finish(store, container)?;
            Ok(outcome)
        }
        Err(error) => {
            start::abandon(store, container);
            Err(error)
        }
    }
}

fn asked(flags: &cli::Sandbox, terminal: bool) -> Flags {
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
        })),
        userns: value(flags.userns.map(|userns| match userns {
            cli::Userns::Auto => "auto",
            cli::Userns::Identity => "identity",
        })),
        id: flags.id.clone(),
        rootfs: flags.rootfs.as_ref().map(|path| path.to_string_lossy().into_owned()),
        terminal,
    }
}

/// Unique in a store: of the processes with one number, only one lives at a time.
fn made_up() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("run-{}-{:x}", std::process::id(), now.as_nanos())
}
