//! Flags of `stage`.

use clap::{Args, Subcommand};
use std::ffi::OsString;

/// `stage`
#[derive(Debug, Args)]
pub struct Stage {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with stages.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the stages that there are, and the folder of each
    List(List),
    /// Show what a stage would change
    Diff(Diff),
    /// Carry changes over to the folder
    ///
    /// All of them, or those of paths that are named. Nothing is applied if anything stands against one of them.
    Apply(Apply),
    /// Throw a stage away, or what it did to paths that are named
    Revert(Revert),
}

/// `stage list`
#[derive(Debug, Args)]
pub struct List {
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which stage.
#[derive(Debug, Args)]
pub struct Which {
    /// The stage [default: that of the current directory]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    /// Files and directories of the staged one, relative to it
    #[arg(value_name = "PATH")]
    pub paths: Vec<OsString>,
}

/// `stage diff`
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    pub which: Which,
    /// Print it as JSON
    #[arg(long, conflicts_with = "stat")]
    pub json: bool,
    /// Print a line a change, and no text
    #[arg(long)]
    pub stat: bool,
}

/// `stage apply`
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub which: Which,
    /// Also over what was changed on the host meanwhile
    #[arg(long)]
    pub force: bool,
    /// Also files that other programs obey: hooks, settings of editors, lock files, ... Asked for without it
    #[arg(long)]
    pub trust: bool,
}

/// `stage revert`
#[derive(Debug, Args)]
pub struct Revert {
    #[command(flatten)]
    pub which: Which,
}
