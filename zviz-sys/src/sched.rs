//! Scheduling, limits and memory policy of the calling thread.

use crate::{Errno, Result, ret};

/// The kernel's `struct sched_attr`, version 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedAttr {
    /// Filled in by `set_scheduler`.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Real-time priority.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// sched_setattr(2).
pub fn set_scheduler(attributes: &SchedAttr) -> Result<()> {
    let attributes = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attributes };
    // SAFETY: the structure has the kernel's layout and carries its size.
    ret(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) }).map(drop)
}

/// ioprio_set(2) for this thread.
pub fn set_io_priority(value: u16) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: integers only.
    ret(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, i32::from(value)) }).map(drop)
}

/// A set of up to 8192 CPUs, as sched_setaffinity(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet([u64; 128]);

impl CpuSet {
    /// # Errors
    /// EINVAL for a CPU above 8191.
    pub fn new(cpus: &[u32]) -> Result<Self> {
        let mut words = [0u64; 128];
        for cpu in cpus {
            let word = words.get_mut(*cpu as usize / 64).ok_or(Errno::EINVAL)?;
            *word |= 1 << (cpu % 64);
        }
        Ok(CpuSet(words))
    }
}

/// sched_setaffinity(2), of this thread.
pub fn set_affinity(cpus: &CpuSet) -> Result<()> {
    set_affinity_of(0, cpus)
}

/// sched_setaffinity(2), of a process.
pub fn set_affinity_of(pid: i32, cpus: &CpuSet) -> Result<()> {
    // SAFETY: the pointer and the size describe one array.
    ret(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(&cpus.0), cpus.0.as_ptr()) }).map(drop)
}

/// personality(2).
pub fn set_personality(persona: u32) -> Result<()> {
    // SAFETY: integers only.
    ret(unsafe { libc::personality(persona.into()) }.into()).map(drop)
}

/// set_mempolicy(2), for nodes below 1024.
pub fn set_memory_policy(mode: u32, nodes: &[u32]) -> Result<()> {
    let mut mask = [0u64; 16];
    for node in nodes {
        *mask.get_mut(*node as usize / 64).ok_or(Errno::EINVAL)? |= 1 << (node % 64);
    }
    let (pointer, bits) = if nodes.is_empty() { (std::ptr::null(), 0usize) } else { (mask.as_ptr(), 1024) };
    // SAFETY: the mask holds as many bits as are passed; a null mask has none.
    ret(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) }).map(drop)
}

/// Sets a limit of a process, 0 for oneself. prlimit(2).
pub fn set_rlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the new limit is read from a valid structure, the old one is not asked for.
    ret(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &limit, std::ptr::null_mut::<libc::rlimit64>()) })
        .map(drop)
}
