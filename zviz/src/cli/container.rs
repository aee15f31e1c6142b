//! What may be written after verbs about a container that is there.

use clap::{Args, ValueEnum};

/// A verb that takes a container and nothing else.
#[derive(Debug, Args)]
pub struct One {
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// Send it to every process of the container; a container that has stopped is no error
    #[arg(short, long)]
    pub all: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
    /// A name, with or without SIG, or a number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM", allow_hyphen_values = true)]
    pub signal: String,
}

/// `delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it first if it runs; a container that is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
    /// Print ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// One JSON array.
    Json,
}

/// `ps`
#[derive(Debug, Args)]
#[command(override_usage = "zviz ps [OPTIONS] <ID> [PS ARGUMENTS]...")]
pub struct Ps {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    pub format: Format,
    /// The container, and arguments for ps(1) [default: -ef]
    #[arg(value_name = "ID", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub id_and_arguments: Vec<String>,
}

/// `stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `events`
#[derive(Debug, Args)]
pub struct Events {
    /// Time between two statistics: 5s, 500ms
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub interval: String,
    /// Print statistics once and end
    #[arg(long)]
    pub stats: bool,
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
}
