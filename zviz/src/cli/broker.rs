//! Flags of `broker`.

use clap::Args;
use std::path::PathBuf;

/// `broker`
#[derive(Debug, Args)]
#[command(
    after_long_help = "A container's config.json names the socket as linux.seccomp.listenerPath, and has a rule with \
SCMP_ACT_NOTIFY for the profile's calls; docs/broker.md has it for each profile. SIGTERM ends this process and removes the \
socket; the brokers that it has started go on, each until its container has ended."
)]
pub struct Broker {
    /// Socket to make, where runtimes connect to hand over their containers' listeners
    #[arg(long, value_name = "SOCKET")]
    pub listen: PathBuf,
    /// What is mediated: a profile that has a broker, by name or path
    #[arg(long, value_name = "PROFILE")]
    pub profile: String,
    /// File that this process's pid is written to when it can be connected to; removed at the end
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Record each decision of every broker: in a file, shared and rotated, to a descriptor, or with systemd's journal
    #[arg(long, value_name = "FILE|fd:N|journald")]
    pub audit: Option<String>,
    /// Serve one container, and end when it does
    #[arg(long)]
    pub once: bool,
}
