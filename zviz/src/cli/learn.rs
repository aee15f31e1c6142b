//! `learn`.

use super::Network;
use clap::Args;
use std::path::PathBuf;

/// `learn`
#[derive(Debug, Args)]
#[command(
    override_usage = "zviz learn [OPTIONS] -- <COMMAND> [ARGUMENTS]...",
    after_long_help = "Exit codes: the command's own, as with run; 125 if the sandbox could not be made; 1 if --check or \
--frozen found something."
)]
pub struct Learn {
    /// Write the profile here [default: standard output, after the command's own]
    #[arg(short, long, value_name = "FILE", conflicts_with = "frozen")]
    pub output: Option<PathBuf>,
    /// What the profile is called [default: learned, or the name of the file]
    #[arg(long, value_name = "NAME", conflicts_with = "frozen")]
    pub name: Option<String>,
    /// Learn under this profile
    #[arg(long, value_name = "PROFILE", default_value = "default", conflicts_with = "frozen")]
    pub profile: String,
    /// Run the command again under what was learned, and fail if it ends in another way or is refused anything
    #[arg(long, conflicts_with = "frozen")]
    pub check: bool,
    /// Run it under this profile, write none, and fail with what would have to be added to it
    #[arg(long, value_name = "PROFILE")]
    pub frozen: Option<String>,
    /// Grant this secret, or what is below it, if it is used
    #[arg(long, value_name = "PATH")]
    pub allow_secret: Vec<String>,
    /// Share a file or directory of the host, writable, at the same path
    #[arg(long, value_name = "HOST")]
    pub rw: Vec<String>,
    /// Share a file or directory of the host, read-only, at the same path
    #[arg(long, value_name = "HOST")]
    pub ro: Vec<String>,
    /// Set a variable, or hand on the caller's
    #[arg(short, long, value_name = "K=V|K")]
    pub env: Vec<String>,
    /// Kill everything inside after this time: 90, 30s, 5m
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Network: nothing but loopback, or all of the host's
    #[arg(long, value_name = "NET", value_enum)]
    pub net: Option<Network>,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND", required = true)]
    pub command: Vec<String>,
}
