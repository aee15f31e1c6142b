//! `broker`: the agent that other runtimes hand their listeners to.

use super::Context;
use crate::cli::Broker as Flags;
use anyhow::{anyhow, bail};
use std::error::Error as _;
use std::path::{Path, PathBuf};
use zviz_broker::listen::{Agent, Error, Event, Options};
use zviz_broker::policy::Policy;
use zviz_runtime::host::cgroup::limits;
use zviz_runtime::pidfile;
use zviz_runtime::profile::BUILT_IN;
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower::Context as Home;
use zviz_runtime::sandbox::flags::trail;

pub fn run(context: &Context, flags: &Flags) -> anyhow::Result<()> {
    let mut policy = policy(&flags.profile)?;
    if let Some(audit) = &flags.audit {
        let trail = trail(audit).map_err(|why| anyhow!("--audit {audit}: {why}"))?;
        // Each broker opens its own; that none will be able to is better said now.
        trail.open().map_err(|why| anyhow!(why))?;
        policy.audit = Some(trail);
    }
    let agent = Agent::listen(&flags.listen)?;
    // The socket is listened on already, so that whoever waits for the file can connect.
    let pid_file = flags.pid_file.as_deref().map(PidFile::write).transpose()?;
    let log = context.log;
    let told = |what: &Result<Event, Error>| match what {
        Ok(Event::Serves { id, pid, broker }) => {
            log.debug(|| format!("container {id}: calls of process {pid} are served by process {broker}"));
        }
        Err(error) => log.warn(&chain(error)),
    };
    agent.run(&Options { policy, facts: &limits::of, once: flags.once, told: &told })?;
    drop(pid_file);
    Ok(())
}

fn policy(name: &str) -> anyhow::Result<Policy> {
    let search = Search::of_user();
    let broker = |name: &str| search.profile(name, &Home::default()).map(|profile| profile.broker);
    // What opens files needs the filter and the pid namespace of zviz's own containers.
    let serves = |policy: &Policy| !policy.is_empty() && policy.files.is_none();
    let policy = broker(name).map_err(|what| anyhow!("--profile {name}: {what}"))?;
    if serves(&policy) {
        return Ok(policy);
    }
    let what = if policy.is_empty() { "sends no calls to a broker" } else { "is for containers of zviz alone" };
    let others = BUILT_IN.iter().map(|(name, _)| *name);
    let with: Vec<_> = others.filter(|name| broker(name).is_ok_and(|policy| serves(&policy))).collect();
    bail!("profile {name:?} {what}; these serve other runtimes: {}", with.join(", "))
}

/// An error and its causes in a line.
fn chain(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Removed at the end, unless it has become another's.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> anyhow::Result<Self> {
        pidfile::write(path, nix::unistd::getpid().as_raw())?;
        Ok(PidFile(path.into()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.0).is_ok_and(|pid| pid == std::process::id().to_string()) {
            // It is of no use any more, and harmless.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
