//! `exec`

use clap::Args;
use std::path::PathBuf;

/// `exec`
#[derive(Debug, Args)]
#[command(
    override_usage = "zviz exec [OPTIONS] <ID> <COMMAND> [ARGUMENTS]...\n       zviz exec [OPTIONS] --process <FILE> <ID>"
)]
pub struct Exec {
    /// Socket that the terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Socket that a pidfd of the program is sent to
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Directory to start in, inside
    #[arg(long, value_name = "PATH")]
    pub cwd: Option<String>,
    /// Set a variable beside the container's own
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Run as this user, inside
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// A supplementary group more
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Read the process from this file, as config.json has it, in place of flags
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Return when it runs
    #[arg(short, long)]
    pub detach: bool,
    /// File that the pid is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Forbid it to gain privileges by exec
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub no_new_privs: Option<bool>,
    /// A capability more
    #[arg(short, long, value_name = "CAPABILITY")]
    pub cap: Vec<String>,
    /// Hand on this many descriptors after standard error and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub preserve_fds: u32,
    /// Run it in an existing sub-cgroup; with CONTROLLER: on hosts with cgroup v1
    #[arg(long, value_name = "[CONTROLLER:]PATH")]
    pub cgroup: Vec<String>,
    /// Go on though the container is paused
    #[arg(long)]
    pub ignore_paused: bool,
    /// The container, the program and its arguments
    #[arg(value_name = "ID", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub id_and_command: Vec<String>,
}

impl Exec {
    /// The container.
    pub fn id(&self) -> &str {
        self.id_and_command.first().map_or("", String::as_str)
    }

    /// The program and its arguments; a `--` between the id and them is not one of them.
    pub fn command(&self) -> &[String] {
        match self.id_and_command.get(1..).unwrap_or_default() {
            [dashes, command @ ..] if dashes == "--" => command,
            command => command,
        }
    }
}
