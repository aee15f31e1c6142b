//! What `create` and `run` share: a bundle, planned, and the answers that its caller waits for.

use super::Context;
use crate::cli::{Bundled, Rootless};
use anyhow::Context as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zviz_runtime::console::{self, ConsoleSocket};
use zviz_runtime::container::Id;
use zviz_runtime::descriptors::Descriptors;
use zviz_runtime::foreground::Meter;
use zviz_runtime::plan::Request;
use zviz_runtime::receipt::Asked;
use zviz_runtime::start::{self, Container, TakeMaster};
use zviz_runtime::store::Store;
use zviz_runtime::{Host, Plan, network, pidfile, spec};

/// A bundle, and what will be done with it.
pub struct Bundle<'a> {
    flags: &'a Bundled,
    id: Id,
    path: PathBuf,
    oci_version: String,
    asked: Asked,
    plan: Plan,
    host: Host,
    descriptors: Descriptors,
    console: Option<ConsoleSocket>,
}

impl<'a> Bundle<'a> {
    /// Reads and plans it. Nothing is changed yet.
    pub fn load(context: &Context, flags: &'a Bundled, id: &str, detach: bool) -> anyhow::Result<Self> {
        let id = Id::new(id)?;
        let given = flags.bundle.as_deref().unwrap_or(Path::new("."));
        let path = given.canonicalize().with_context(|| format!("bundle {}", given.display()))?;
        let spec = spec::load(&path)?;
        let host = Host::probe()?;
        let own_network = network::is_own(&spec);
        let (pivot, new_keyring) = (!flags.no_pivot, !flags.no_new_keyring);
        let request = Request { pivot, new_keyring, own_network, ..context.request(&id) };
        let mut plan = Plan::build(&spec, &context.profile(&spec)?, &host, request)?;
        for note in &plan.notes {
            if spec.notes.contains(note) {
                // What could not even be read. config.md has a warning of unknown capabilities.
                context.log.warn(&note.to_string());
            } else {
                // Not on standard error, where callers take anything for a failure; `zviz plan` prints them.
                context.log.debug(|| note.to_string());
            }
        }
        if let Some(most) = plan.profile.limits.output.filter(|_| detach) {
            let place =
                plan.profile.limits.places.get("output_max").map(|place| format!("{place}: ")).unwrap_or_default();
            anyhow::bail!(
                "{place}resources.output_max: {most} bytes are counted by who waits for the container: run it in the foreground"
            );
        }
        let listen = std::env::var("LISTEN_PID").ok().zip(std::env::var("LISTEN_FDS").ok());
        let listen = listen.as_ref().map(|(pid, fds)| (pid.as_str(), fds.as_str()));
        let descriptors = Descriptors::decide(listen, std::process::id(), flags.preserve_fds)?;
        descriptors.check()?;
        plan.process.env.extend(descriptors.environment());
        console::check(detach, plan.process.terminal, flags.console_socket.is_some())?;
        let console = flags.console_socket.as_deref().map(ConsoleSocket::connect).transpose()?;
        let oci_version = spec.oci.version().clone();
        let asked = Asked::bundle(said(context, flags), &spec.bundle, &spec.sha256, &plan.process.args);
        Ok(Bundle { flags, id, path, oci_version, asked, plan, host, descriptors, console })
    }

    /// Whether the payload gets a terminal.
    pub fn terminal(&self) -> bool {
        self.plan.process.terminal
    }

    /// Counts the payload's output, where that is limited.
    pub fn meter(&self) -> Option<Meter> {
        let limits = &self.plan.profile.limits;
        limits.output.map(|most| Meter::new(most, limits.output_truncated))
    }

    /// How long the payload may run.
    pub fn wall_time(&self) -> Option<Duration> {
        self.plan.profile.limits.wall_time.map(Duration::from_millis)
    }

    /// The kernel's highest capability.
    pub fn last_capability(&self) -> u32 {
        self.host.last_capability
    }

    /// Creates the container, and tells the caller its pid.
    pub fn create(self, context: &Context, store: &Store, output: Option<[OwnedFd; 2]>) -> anyhow::Result<Container> {
        let console = self.console.map(|socket| -> TakeMaster<'_> { Box::new(|master| Ok(socket.send(master)?)) });
        let container = start::create(start::Request {
            store,
            id: self.id,
            oci_version: &self.oci_version,
            bundle: &self.path,
            asked: self.asked,
            plan: self.plan,
            host: &self.host,
            console,
            output,
            preserve_fds: self.descriptors.count(),
            die_with_parent: false,
            observer: None,
            warn: &|error| context.log.warn(&error.to_string()),
        })?;
        match tell(self.flags.pid_file.as_deref(), self.flags.pidfd_socket.as_deref(), &container) {
            Ok(()) => Ok(container),
            Err(error) => {
                abandon(context, container);
                Err(error)
            }
        }
    }
}

/// The flags that change what a bundle comes to.
fn said(context: &Context, flags: &Bundled) -> Vec<String> {
    let global = context.global;
    let switches = [
        (flags.no_pivot, "--no-pivot".to_owned()),
        (flags.no_new_keyring, "--no-new-keyring".to_owned()),
        (flags.preserve_fds > 0, format!("--preserve-fds {}", flags.preserve_fds)),
        (global.systemd_cgroup, "--systemd-cgroup".to_owned()),
        (global.rootless == Rootless::True, "--rootless true".to_owned()),
        (global.rootless == Rootless::False, "--rootless false".to_owned()),
    ];
    let config = global.config.as_ref().map(|path| format!("--config {}", path.display()));
    switches.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag).chain(config).collect()
}

/// Ends a container that is not wanted any more.
pub fn abandon(context: &Context, container: Container) {
    for error in start::abandon(container) {
        context.log.warn(&error.to_string());
    }
}

/// Leaves the pid where the caller wants it.
fn tell(pid_file: Option<&Path>, pidfd_socket: Option<&Path>, container: &Container) -> anyhow::Result<()> {
    if let Some(path) = pid_file {
        pidfile::write(path, container.pid)?;
    }
    if let Some(path) = pidfd_socket {
        console::send_pidfd(path, container.pidfd.as_fd())?;
    }
    Ok(())
}
