//! The payload: what runs, as whom, with which rights and limits.

use serde::{Deserialize, Serialize};

/// Five sets, each a mask by capability number. capabilities(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Limits what execve(2) can give.
    pub bounding: u64,
    /// What is in force.
    pub effective: u64,
    /// What may be put in force.
    pub permitted: u64,
    /// Kept over execve(2) with the file's inheritable set.
    pub inheritable: u64,
    /// Kept over execve(2) of an ordinary file.
    pub ambient: u64,
}

/// Ids, inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// setresuid(2).
    pub uid: u32,
    /// setresgid(2).
    pub gid: u32,
    /// Exactly these supplementary groups; absent where setgroups(2) is denied by the user namespace.
    pub groups: Option<Vec<u32>>,
}

/// One of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*` of this architecture.
    pub resource: u32,
    /// Soft limit; `u64::MAX` is infinity.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// sched_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
}

/// set_mempolicy(2) (`linux.memoryPolicy`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_*` with `MPOL_F_*` flags.
    pub mode: u32,
    /// NUMA nodes.
    pub nodes: Vec<u32>,
}

/// The payload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// argv; empty where only `start` would say so (an error there).
    pub args: Vec<String>,
    /// `KEY=value`, complete.
    pub env: Vec<String>,
    /// HOME is not in it: the container's /etc/passwd says it, and init adds it.
    #[serde(default)]
    pub find_home: bool,
    /// Inside the container, absolute.
    pub cwd: String,
    /// A pseudo-terminal is its controlling terminal.
    pub terminal: bool,
    /// Rows and columns of the terminal, at first.
    pub console_size: Option<(u16, u16)>,
    /// Who it runs as.
    pub credentials: Credentials,
    /// umask(2); 022 where the spec is silent, whatever the caller of the runtime has.
    pub umask: Option<u32>,
    /// What it may do.
    pub capabilities: Capabilities,
    /// prctl(PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// Limits.
    pub rlimits: Vec<Rlimit>,
    /// /proc/self/oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// Scheduling policy.
    pub scheduler: Option<Scheduler>,
    /// ioprio_set(2): class and level in one number.
    pub io_priority: Option<u16>,
    /// CPUs for the time until exec (`execCPUAffinity.initial`).
    pub initial_affinity: Option<Vec<u32>>,
    /// CPUs from exec on (`execCPUAffinity.final`).
    pub final_affinity: Option<Vec<u32>>,
    /// personality(2).
    pub personality: Option<u32>,
    /// NUMA policy.
    pub memory_policy: Option<MemoryPolicy>,
    /// AppArmor profile, applied at exec.
    pub apparmor_profile: Option<String>,
    /// SELinux label, applied at exec.
    pub selinux_label: Option<String>,
    /// A small reaper of zviz is process 1 and the payload its child, so that signals act as users expect.
    pub reaper: bool,
    /// A session keyring of its own (`--no-new-keyring` leaves the caller's).
    pub new_keyring: bool,
}
