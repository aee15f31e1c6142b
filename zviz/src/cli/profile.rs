//! Flags of `profile`.

use clap::{Args, Subcommand};

/// `profile`
#[derive(Debug, Args)]
pub struct Profile {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the profiles that can be named, and where each is
    List,
    /// Print the text of a profile
    Show(Named),
    /// Say all that is wrong with profiles, and what their authors should know
    Check(Several),
    /// Print the JSON Schema of profiles, for editors
    Schema,
    /// Print every key of a profile, what it is for, and what enforces it
    Keys,
}

/// A profile.
#[derive(Debug, Args)]
pub struct Named {
    /// A name, or the path of a file
    #[arg(value_name = "PROFILE")]
    pub profile: String,
}

/// Profiles.
#[derive(Debug, Args)]
pub struct Several {
    /// Names, or paths of files
    #[arg(value_name = "PROFILE", required = true)]
    pub profiles: Vec<String>,
}
