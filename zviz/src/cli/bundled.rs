//! Flags of `create` and `run` for a container from a bundle.

use clap::Args;
use std::path::PathBuf;

/// `create`
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    pub bundled: Bundled,
    /// Write down as JSON what is in force, once it is: a file, fd:N, or - for standard output
    #[arg(long, value_name = "WHERE", help_heading = "What is told")]
    pub receipt: Option<String>,
    /// A name for the container, unique in this root
    #[arg(value_name = "ID")]
    pub id: String,
}

/// What both take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Bundled {
    /// The bundle [default: the current directory]
    #[arg(short, long, value_name = "DIR", help_heading = "From a bundle")]
    pub bundle: Option<PathBuf>,
    /// Socket that the terminal is sent to
    #[arg(long, value_name = "SOCKET", help_heading = "From a bundle")]
    pub console_socket: Option<PathBuf>,
    /// Socket that a pidfd of the first process is sent to
    #[arg(long, value_name = "SOCKET", help_heading = "From a bundle")]
    pub pidfd_socket: Option<PathBuf>,
    /// File that the pid of the first process is written to
    #[arg(long, value_name = "FILE", help_heading = "From a bundle")]
    pub pid_file: Option<PathBuf>,
    /// Enter the root by chroot(2), for a root on the initial ramfs
    #[arg(long, help_heading = "From a bundle")]
    pub no_pivot: bool,
    /// Leave it the caller's session keyring
    #[arg(long, help_heading = "From a bundle")]
    pub no_new_keyring: bool,
    /// Hand on this many descriptors after standard error and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true, help_heading = "From a bundle")]
    pub preserve_fds: u32,
}
