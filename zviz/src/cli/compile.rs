//! Flags of `compile`.

use clap::Args;
use std::path::PathBuf;

/// `compile`
#[derive(Debug, Args)]
pub struct Compile {
    /// Profile: a name, or the path of a file
    #[arg(value_name = "PROFILE", required_unless_present = "list")]
    pub profile: Option<String>,
    /// Folder to write the files into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Only say what is wrong with it
    #[arg(long)]
    pub validate: bool,
    /// Say also what this host lacks for it
    #[arg(long)]
    pub check_host: bool,
    /// Print the rules, each with its line and what enforces it, and the filter; write nothing
    #[arg(long)]
    pub show: bool,
    /// List what is compiled in the folder
    #[arg(long)]
    pub list: bool,
}
