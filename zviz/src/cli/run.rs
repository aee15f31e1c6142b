//! `run`, which has two forms: a command after `--` runs in a sandbox; without one, a container is made of a bundle.

use super::bundled::Bundled;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `run`
#[derive(Debug, Args)]
#[command(
    override_usage = "zviz run [SANDBOX OPTIONS] -- <COMMAND> [ARGUMENTS]...\n       zviz run [BUNDLE OPTIONS] <ID>",
    after_long_help = EXIT_CODES
)]
pub struct Run {
    #[command(flatten)]
    pub bundled: Bundled,
    /// Return when it runs
    #[arg(short, long, help_heading = "From a bundle")]
    pub detach: bool,
    /// Leave the container, stopped, when its program has ended
    #[arg(long, help_heading = "From a bundle")]
    pub keep: bool,
    /// Leave orphans of the container to the caller's reaper
    #[arg(long, help_heading = "From a bundle")]
    pub no_subreaper: bool,
    #[command(flatten)]
    pub sandbox: Sandbox,
    /// Write down as JSON what is in force, once it is: a file, fd:N, or - for standard output
    #[arg(long, value_name = "WHERE", help_heading = "What is told")]
    pub receipt: Option<String>,
    /// Write down as JSON how it ended, what it used and which limit ended it: a file, fd:N, or -
    #[arg(long, value_name = "WHERE", help_heading = "What is told")]
    pub report: Option<String>,
    /// A name for the container, unique in this root
    #[arg(value_name = "ID")]
    pub container: Option<String>,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

const EXIT_CODES: &str = "Exit codes of the first form: the command's own; 128 + N if signal N ended it; 124 if \
--timeout did; 137 if another limit did; 125 if the sandbox could not be made; 126 if the command cannot be executed; 127 if it is not found. \
Of the second: the program's own, 128 + N, 124, 137, or 1.";

/// Flags for a command in a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Sandbox {
    /// Share a file or directory of the host, writable
    #[arg(long, value_name = "HOST[:INSIDE]", help_heading = "Sandbox")]
    pub rw: Vec<String>,
    /// Share a file or directory of the host, read-only
    #[arg(long, value_name = "HOST[:INSIDE]", help_heading = "Sandbox")]
    pub ro: Vec<String>,
    /// An empty directory in memory
    #[arg(long, value_name = "PATH", help_heading = "Sandbox")]
    pub tmpfs: Vec<String>,
    /// Set a variable, or hand on the caller's
    #[arg(short, long, value_name = "K=V|K", help_heading = "Sandbox")]
    pub env: Vec<String>,
    /// Directory to start in; the current one is not shared then
    #[arg(long, value_name = "PATH", help_heading = "Sandbox")]
    pub cwd: Option<String>,
    /// User to run as, inside
    #[arg(short, long, value_name = "UID[:GID]|NAME", help_heading = "Sandbox")]
    pub user: Option<String>,
    /// Host name inside
    #[arg(long, value_name = "NAME", help_heading = "Sandbox")]
    pub hostname: Option<String>,
    /// At most this much memory: 512M, 2G
    #[arg(long, value_name = "BYTES", help_heading = "Sandbox")]
    pub memory: Option<String>,
    /// At most this many processes and threads
    #[arg(long, value_name = "N", help_heading = "Sandbox")]
    pub pids: Option<String>,
    /// At most this many processors: 1.5
    #[arg(long, value_name = "N", help_heading = "Sandbox")]
    pub cpus: Option<String>,
    /// Kill everything inside after this time: 90, 30s, 5m
    #[arg(long, value_name = "TIME", help_heading = "Sandbox")]
    pub timeout: Option<String>,
    /// Network: nothing but loopback, all of the host's, or one of its own: at a bridge (root's), by pasta (ordinary users'), or
    /// whichever of the two the caller can have
    #[arg(long, value_name = "NET", value_enum, help_heading = "Sandbox")]
    pub net: Option<Network>,
    /// Tell of connections on standard error as they are let through or refused, one line each
    #[arg(long, help_heading = "Sandbox")]
    pub net_log: bool,
    /// Let a port of it be reached at one of the host: 8080:80, 127.0.0.1:8080:80/tcp
    #[arg(short = 'p', long, value_name = "[ADDR:]PORT:PORT[/PROTO]", help_heading = "Sandbox")]
    pub publish: Vec<String>,
    /// What it is made of. landlock: no namespaces, for hosts that give none; docs/landlock.md has what that lacks
    #[arg(long, value_name = "BACKEND", value_enum, help_heading = "Sandbox")]
    pub backend: Option<Backend>,
    /// As root: ids of its own, or the same inside and outside
    #[arg(long, value_name = "IDS", value_enum, help_heading = "Sandbox")]
    pub userns: Option<Userns>,
    /// A name, unique in this root
    #[arg(long, value_name = "ID", help_heading = "Sandbox")]
    pub id: Option<String>,
    /// Use this directory as the root, read-only, in place of the host's
    #[arg(long, value_name = "DIR", help_heading = "Sandbox")]
    pub rootfs: Option<PathBuf>,
    /// Who decides under the profile ask: a Unix socket's path, or a command
    #[arg(long, value_name = "CLIENT", help_heading = "Sandbox")]
    pub ask: Option<String>,
    /// Record what the broker decides: a file, fd:N, or journald
    #[arg(long, value_name = "WHERE", help_heading = "Sandbox")]
    pub audit: Option<String>,
    /// Policy: a name (zviz profile list), or the path of a file
    #[arg(long, value_name = "PROFILE", help_heading = "Sandbox")]
    pub profile: Option<String>,
    /// Policy that zviz compile has written into this directory
    #[arg(long, value_name = "DIR", help_heading = "Sandbox")]
    pub compiled: Option<PathBuf>,
    /// Keep what is written to the current directory out of it, for `zviz stage`
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "", help_heading = "Sandbox")]
    pub stage: Option<String>,
    /// Say why something is denied, and what would allow it: text, json, or json:FILE
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text", help_heading = "Sandbox")]
    pub explain: Option<String>,
    /// Print what would be done as JSON, and do nothing
    #[arg(long, help_heading = "Sandbox")]
    pub json: bool,
}

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// Loopback.
    None,
    /// The host's.
    Host,
    /// Its own, at a bridge.
    Bridge,
    /// Its own, by pasta.
    Pasta,
    /// Its own.
    Private,
}

/// Which ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Userns {
    /// A range of its own.
    Auto,
    /// The host's.
    Identity,
}

/// Which backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Namespaces and all other layers.
    Namespaces,
    /// Landlock and seccomp alone.
    Landlock,
}

impl Backend {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Namespaces => "namespaces",
            Backend::Landlock => "landlock",
        }
    }
}

/// What a `run` is about.
#[derive(Debug, PartialEq)]
pub enum Target<'a> {
    /// A container of a bundle.
    Container(&'a str),
    /// A command, at least its name.
    Command(&'a [String]),
}

impl Run {
    /// Which of the two forms was written.
    ///
    /// # Errors
    /// If flags of both are mixed, or what to run is missing; in words for the user.
    pub fn target(&self) -> Result<Target<'_>, String> {
        match (&self.container, self.command.as_slice()) {
            (None, []) => Err("run needs the id of a container to make, or -- and a command".into()),
            (Some(id), []) => match self.sandbox.first_used() {
                Some(flag) => {
                    Err(format!("run: {flag} is for a command in a sandbox, and no -- with a command follows"))
                }
                None if self.detach && self.report.is_some() => {
                    Err("run: --report is for who waits for the end, and --detach does not".into())
                }
                None => Ok(Target::Container(id)),
            },
            (Some(id), _) => Err(format!("run: {id:?} before -- is neither a flag nor part of the command")),
            (None, command) => match self.first_bundled() {
                Some(flag) => Err(format!("run: {flag} is for a container of a bundle, not for a command after --")),
                None => Ok(Target::Command(command)),
            },
        }
    }

    fn first_bundled(&self) -> Option<&'static str> {
        let Bundled { bundle, console_socket, pidfd_socket, pid_file, no_pivot, no_new_keyring, preserve_fds } =
            &self.bundled;
        first(&[
            (bundle.is_some(), "--bundle"),
            (console_socket.is_some(), "--console-socket"),
            (pidfd_socket.is_some(), "--pidfd-socket"),
            (pid_file.is_some(), "--pid-file"),
            (*no_pivot, "--no-pivot"),
            (*no_new_keyring, "--no-new-keyring"),
            (*preserve_fds > 0, "--preserve-fds"),
            (self.detach, "--detach"),
            (self.keep, "--keep"),
            (self.no_subreaper, "--no-subreaper"),
        ])
    }
}

impl Sandbox {
    fn first_used(&self) -> Option<&'static str> {
        // Written out, so that a new flag cannot be left out.
        let Self {
            rw,
            ro,
            tmpfs,
            env,
            cwd,
            user,
            hostname,
            memory,
            pids,
            cpus,
            timeout,
            net,
            net_log,
            publish,
            backend,
            userns,
            id,
            rootfs,
            ask,
            audit,
            profile,
            compiled,
            stage,
            explain,
            json,
        } = self;
        first(&[
            (!rw.is_empty(), "--rw"),
            (!ro.is_empty(), "--ro"),
            (!tmpfs.is_empty(), "--tmpfs"),
            (!env.is_empty(), "--env"),
            (cwd.is_some(), "--cwd"),
            (user.is_some(), "--user"),
            (hostname.is_some(), "--hostname"),
            (memory.is_some(), "--memory"),
            (pids.is_some(), "--pids"),
            (cpus.is_some(), "--cpus"),
            (timeout.is_some(), "--timeout"),
            (net.is_some(), "--net"),
            (*net_log, "--net-log"),
            (!publish.is_empty(), "--publish"),
            (backend.is_some(), "--backend"),
            (userns.is_some(), "--userns"),
            (id.is_some(), "--id"),
            (rootfs.is_some(), "--rootfs"),
            (ask.is_some(), "--ask"),
            (audit.is_some(), "--audit"),
            (profile.is_some(), "--profile"),
            (compiled.is_some(), "--compiled"),
            (stage.is_some(), "--stage"),
            (explain.is_some(), "--explain"),
            (*json, "--json"),
        ])
    }
}

fn first(flags: &[(bool, &'static str)]) -> Option<&'static str> {
    flags.iter().find(|(used, _)| *used).map(|(_, name)| *name)
}
