//! The command line: runc's, and what zviz has beside it.
//!
//! This is only what may be written and what it means in words; every verb's own file below `commands` does it.

mod broker;
mod bundled;
mod compile;
mod container;
mod exec;
mod later;
mod learn;
pub mod profile;
mod run;
pub mod selftest;
pub mod stage;
mod update;

pub use broker::Broker;
pub use bundled::{Bundled, Create};
pub use compile::Compile;
pub use container::{Delete, Events, Format, Kill, List, One, Ps, Stats};
pub use exec::Exec;
pub use later::Later;
pub use learn::Learn;
pub use run::{Backend, Network, Run, Sandbox, Target, Userns};
pub use update::Update;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs programs in sandboxes: one command with `zviz run -- CMD`, or OCI bundles with runc's commands and flags.
#[derive(Debug, Parser)]
#[command(
    name = "zviz",
    version = crate::version::text(),
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = "Containers are made from bundles: a directory with a config.json (see `zviz spec`) and a root file system."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that stand before the verb.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Directory where containers are remembered [default: /run/zviz; $XDG_RUNTIME_DIR/zviz without root]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// File that errors and warnings are appended to [default: standard error]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Format of the lines of the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Also log what is being done
    #[arg(long)]
    pub debug: bool,
    /// Have systemd make the cgroups: `cgroupsPath` is then of the form slice:prefix:name
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Go on without cgroups that may not be made
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub rootless: Rootless,
    /// What the host says of bundles [default: /etc/zviz/config.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accepted for callers of runc; nothing is checkpointed
    #[arg(long, value_name = "PATH", hide = true)]
    pub criu: Option<PathBuf>,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `time="..." level=error msg="..."`
    #[default]
    Text,
    /// `{"level":"error","msg":"...","time":"..."}`
    Json,
}

/// Whether cgroups may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// Unless we are root of the machine.
    #[default]
    Auto,
    /// Always.
    #[value(alias = "1", alias = "t", alias = "T", alias = "TRUE", alias = "True")]
    True,
    /// Never.
    #[value(alias = "0", alias = "f", alias = "F", alias = "FALSE", alias = "False")]
    False,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a sandbox, or a container from a bundle
    ///
    /// With a command after `--`, the command runs in a sandbox: the host's programs read-only, the current directory
    /// writable, a private /tmp, loopback only, no capability. Without `--`, ID is a new container of the bundle in the
    /// current directory, or in --bundle, as with runc.
    Run(Later<Run>),
    /// Create a container from a bundle; `start` runs its program
    Create(Later<Create>),
    /// Run the program of a created container
    Start(Later<One>),
    /// Run another program in a container, with all of the container's own restrictions
    Exec(Later<Exec>),
    /// Print the state of a container as JSON
    State(Later<One>),
    /// Send a signal to a container's first process
    Kill(Later<Kill>),
    /// Remove what is left of a container
    Delete(Later<Delete>),
    /// List the containers of this root
    List(Later<List>),
    /// Show the processes of a container
    Ps(Later<Ps>),
    /// Show what the rules of a container's network have let through and what they have not
    ///
    /// One line for each key of the profile's network section, in the order in which they decide. Rules about connections count
    /// the packets that begin one; all that follow are `established`.
    Stats(Later<Stats>),
    /// Freeze the processes of a container
    Pause(Later<One>),
    /// Let a frozen container go on
    Resume(Later<One>),
    /// Change limits of a container; what is not named stays
    Update(Later<Update>),
    /// Print statistics and out-of-memory events of a container as JSON
    Events(Later<Events>),
    /// Answer system calls of other runtimes' containers, whose listeners come over a socket
    ///
    /// Runs in the foreground. Each container gets a broker of its own, which answers the profile's system calls with the
    /// rights of the process that makes them.
    Broker(Later<Broker>),
    /// Compile a profile into the files that its layers take
    ///
    /// Writes the seccomp program, what the broker is told, and a manifest that says which rule is where: the same bytes for
    /// the same text. `run --compiled` uses them.
    Compile(Later<Compile>),
    /// Run a command, and write a profile of what it needs
    ///
    /// The command runs in a sandbox, in the current directory, and its system calls are looked at, which makes it several
    /// times slower; one that traces others (a debugger) cannot run so.
    Learn(Later<Learn>),
    /// Show, list and check profiles
    Profile(Later<profile::Profile>),
    /// Attempt to escape from a sandbox of a profile on this host, and say what came of each attempt
    Selftest(Later<selftest::Selftest>),
    /// A part of `selftest`
    #[command(hide = true)]
    SelftestPart(Later<selftest::Part>),
    /// Show, apply and throw away what sandboxes wrote to stages (`run --stage`)
    Stage(Later<stage::Stage>),
    /// Say why something was denied in a run with --explain, and what would allow it
    ///
    /// Of the last one, or of the one with this id. Of a container that is there still: what its broker has recorded and
    /// which limits it has met.
    Why(Later<Why>),
    /// Write a config.json to start from
    Spec(Later<Spec>),
    /// Print what this runtime can do as JSON
    Features,
    /// Print what would be done for a bundle, and do nothing
    Plan(Later<Plan>),
    /// Say what this machine offers to zviz and what it lacks, with the command that would help
    Doctor(Later<Doctor>),
    /// Remove what was left by sandboxes whose runtime was killed, or whose machine lost power
    ///
    /// Only what nobody alive can want: state, addresses, devices and rules of sandboxes that are gone, and the bridge if nobody
    /// is at it.
    Gc(Later<Gc>),
    /// Not supported
    #[command(hide = true)]
    Checkpoint(Later<Refused>),
    /// Not supported
    #[command(hide = true)]
    Restore(Later<Refused>),
}

/// `spec`
#[derive(Debug, Args)]
pub struct Spec {
    /// The bundle to write it in [default: the current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// For a container of an ordinary user
    #[arg(long)]
    pub rootless: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The bundle [default: the current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// The name that the container would have
    #[arg(value_name = "ID", default_value = "example")]
    pub id: String,
}

/// `why`
#[derive(Debug, Args)]
pub struct Why {
    /// The sandbox or container [default: the last that was explained]
    #[arg(value_name = "ID", conflicts_with = "last")]
    pub id: Option<String>,
    /// The last that was explained
    #[arg(long)]
    pub last: bool,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `gc`
#[derive(Debug, Args)]
pub struct Gc {
    /// Only say what would be removed
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// `doctor`
#[derive(Debug, Args)]
#[command(after_long_help = "Exit code: 0 if `zviz run -- CMD` works here, else 1.")]
pub struct Doctor {
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// A verb of runc that zviz refuses, whatever follows it.
#[derive(Debug, Args)]
pub struct Refused {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

#[cfg(test)]
mod tests;
