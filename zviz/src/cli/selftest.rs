//! Flags of `selftest`.

use super::Backend;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `selftest`
#[derive(Debug, Args)]
#[command(after_long_help = "Exit code: 0 if every attempt fails or is allowed by the profile, else 1.")]
pub struct Selftest {
    /// The profile to try: a name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub profile: String,
    /// What the sandbox is made of, as of zviz run
    #[arg(long, value_name = "BACKEND", value_enum, conflicts_with_all = ["list", "controls", "compare"])]
    pub backend: Option<Backend>,
    /// Only the attempts of this group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// List the attempts, with where each is told of, and make none
    #[arg(long)]
    pub list: bool,
    /// As root: make each attempt where nothing keeps it from succeeding, to show that it tests something
    #[arg(long, conflicts_with = "list")]
    pub controls: bool,
    /// Make the same attempts in runc, Docker, bubblewrap and firejail too, and print how many succeed in each
    #[arg(long, conflicts_with_all = ["list", "controls"])]
    pub compare: bool,
}

/// What the self-test has this program do in a process of its own.
#[derive(Debug, Args)]
pub struct Part {
    /// Which
    #[arg(value_enum)]
    pub part: PartName,
    /// What is laid out, as JSON
    #[arg(long, default_value = "{}")]
    pub bait: String,
    /// The profile
    #[arg(long, default_value = "default")]
    pub profile: String,
    /// What the sandbox is made of
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Where this program is: one that has sealed itself does not know any more
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// The attempts
    pub names: Vec<String>,
}

/// The parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartName {
    /// Makes a sandbox and runs `inside` in it.
    Door,
    /// Makes the attempts, each in a process of its own.
    Inside,
    /// Makes one attempt.
    One,
    /// Makes one attempt where it succeeds.
    Control,
    /// Waits until its standard input ends.
    Wait,
}
