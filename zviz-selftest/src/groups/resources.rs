//! What a machine has only so much of, and the namespaces that keep it apart.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, seen};
use crate::probe::Control::{Host, User};
use crate::probe::{Probe, probe};
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use std::time::Duration;
use zviz_sys::probe::Arg::{Bytes, Int, Room};
use zviz_sys::probe::call;
use zviz_sys::process::{Cloned, fork};

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("process-flood", "more processes than anybody needs", "CVE-2022-31030, fork(2), Documentation/admin-guide/cgroup-v1/pids.rst", User, |_| flood()),
    probe("raise-core", "core files although there are none", "setrlimit(2)", Host, |_| raise(libc::RLIMIT_CORE)),
    probe("raise-priority", "a higher priority than it has", "setrlimit(2) RLIMIT_NICE", Host, |_| raise(libc::RLIMIT_NICE)),
    probe("raise-realtime", "real-time priority", "setrlimit(2) RLIMIT_RTPRIO", Host, |_| raise(libc::RLIMIT_RTPRIO)),
    probe("raise-locked-memory", "memory that cannot be swapped", "setrlimit(2) RLIMIT_MEMLOCK", Host, |_| raise(libc::RLIMIT_MEMLOCK)),
    probe("raise-open-files", "more open files than it may have", "setrlimit(2) RLIMIT_NOFILE", Host, |_| raise(libc::RLIMIT_NOFILE)),
    probe("tmp-without-limit", "memory by way of /tmp", "tmpfs(5)", Host, |_| size("/tmp")),
    probe("shm-without-limit", "memory by way of /dev/shm", "shm_overview(7), tmpfs(5)", Host, |_| size("/dev/shm")),
    probe("run-without-limit", "memory by way of /run", "tmpfs(5)", Host, |_| size("/run")),
    probe("ipc-outside", "a message queue of the host's", "CVE-2020-15257, ipc_namespaces(7), msgget(2)", Host, ipc),
];

/// More than a sandbox has by default. They end with this process.
const MANY: usize = 2500;

fn flood() -> Outcome {
    let mut children = Vec::new();
    for _ in 0..MANY {
        match fork() {
            Ok(Cloned::Child) => {
                // The one that made it ends soon; nothing is to be done where that is not seen.
                let _ = zviz_sys::ids::set_parent_death_signal(libc::SIGKILL);
                std::thread::sleep(Duration::from_secs(15));
                zviz_sys::process::exit(0)
            }
            Ok(Cloned::Parent { pidfd, pid }) => {
                // Of each only the number is kept, so that open files are not what runs out.
                drop(pidfd);
                children.push(pid);
            }
            Err(errno) => {
                end(&children);
                return Outcome::Blocked(format!("{errno:?} after {}", children.len()));
            }
        }
    }
    end(&children);
    Outcome::Succeeded(format!("{MANY} run"))
}

fn end(children: &[i32]) {
    for child in children {
        let _ = call(libc::SYS_kill, &mut [Int(i64::from(*child)), Int(9)]);
    }
    while nix::sys::wait::wait().is_ok() {}
}

/// One more than the hard limit, of this process.
fn raise(resource: u32) -> Outcome {
    let mut old = [0u8; 16];
    let kind = || Int(i64::from(resource));
    if let Err(errno) = call(libc::SYS_prlimit64, &mut [Int(0), kind(), Int(0), Room(&mut old)]) {
        return done::<()>(Err(errno));
    }
    let hard = old.last_chunk().copied().map_or(u64::MAX, u64::from_ne_bytes);
    let Some(more) = hard.checked_add(1) else {
        return Outcome::NotApplicable("there is no limit to raise".into());
    };
    let new = [more.to_ne_bytes(), more.to_ne_bytes()].concat();
    done(call(libc::SYS_prlimit64, &mut [Int(0), kind(), Bytes(&new), Int(0)]))
}

/// Of a file system in memory: none, or more than the machine has, is no limit.
fn size(path: &str) -> Outcome {
    let kind = std::fs::File::open(path).map_err(|_| Errno::ENOENT);
    let kind = kind.and_then(|folder| zviz_sys::fd::filesystem_magic(std::os::fd::AsFd::as_fd(&folder)));
    match kind {
        Ok(0x0102_1994) => {}
        Ok(_) => return Outcome::NotApplicable(format!("{path} is not in memory")),
        Err(errno) => return done::<()>(Err(errno)),
    }
    match (statvfs(path), zviz_sys::machine::sysinfo()) {
        (Ok(there), Ok(machine)) => {
            let bytes = there.blocks().saturating_mul(there.fragment_size());
            let memory = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
            let (blocks, files) = (bytes == 0 || bytes >= memory / 2, there.files() == 0);
            match blocks || files {
                true => Outcome::Succeeded(format!("{bytes} bytes, {} files", there.files())),
                false => Outcome::Blocked(format!("{} MiB", bytes >> 20)),
            }
        }
        (Err(errno), _) | (_, Err(errno)) => done::<()>(Err(errno)),
    }
}

fn ipc(bait: &Bait) -> Outcome {
    match call(libc::SYS_msgget, &mut [Int(i64::from(bait.queue)), Int(0)]) {
        Ok(_) => seen(true, "the queue"),
        Err(errno) => done::<()>(Err(errno)),
    }
}
