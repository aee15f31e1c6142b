//! Makes, in a child that ends at once, what every sandbox is made of: the only way to know that it is allowed. Settings
//! alone do not tell: some kernels let an ordinary user make a user namespace and refuse all that is done in it.

use crate::apply::ids;
use crate::plan::{IdMap, User};
use nix::errno::Errno;
use std::os::fd::AsFd;
use zviz_sys::process::{Cloned, clone, exit};
use zviz_sys::wait::Exit;
use zviz_sys::{fd, mount, net, wait};

/// Where it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Doing what.
    pub step: &'static str,
    /// In the kernel's words.
    pub why: String,
}

/// The steps of the child, by the number in its exit code.
const STEPS: [&str; 4] = ["make mounts private", "mount a tmpfs", "bring up a loopback device", PROC];

/// What a container around us forbids that masks a part of its own.
pub(super) const PROC: &str = "mount a proc";

/// All at once, as a start does.
pub(super) fn namespaces(uid: u32, gid: u32) -> Result<(), Refused> {
    let refused = |step| move |errno: Errno| Refused { step, why: errno.desc().to_lowercase() };
    let kinds = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWCGROUP,
    ];
    let flags = kinds.iter().fold(0, |all, kind| all | u64::from(kind.cast_unsigned()));
    let (parent_end, child_end) = fd::packet_pair().map_err(refused("make a socket pair"))?;
    let proc = crate::apply::namespaces::open_proc()
        .map_err(|_| Refused { step: "open /proc", why: "it is not a proc file system".into() })?;
    match clone(flags, None).map_err(refused("make namespaces (clone3)"))? {
        Cloned::Child => {
            drop(parent_end);
            let mut byte = [0u8; 1];
            exit(match fd::read(child_end.as_fd(), &mut byte) {
                Ok(1) => child(),
                _ => 255,
            })
        }
        Cloned::Parent { pid, pidfd } => {
            drop(child_end);
            let one = |id| vec![IdMap { inside: id, outside: id, count: 1 }];
            let user = User::New { uids: one(uid), gids: one(gid), setgroups: false, by_helper: false };
            let mapped = ids::write_maps(&user, proc.as_fd(), pid);
            if mapped.is_ok() {
                // A child that is gone is found out below.
                let _ = fd::write_all(parent_end.as_fd(), b"g");
            }
            drop(parent_end);
            let end = wait::wait(pidfd.as_fd()).map_err(refused("wait for a child"))?;
            mapped.map_err(|error| Refused { step: "map ids", why: error.to_string() })?;
            verdict(end)
        }
    }
}

/// 0, or the step and the errno: 64 errnos to a step. All that can be expected here are below 64.
fn child() -> i32 {
    let steps: [fn() -> Result<(), Errno>; 4] = [
        || mount::set_root_propagation(libc::MS_PRIVATE, true),
        || mount::Filesystem::open(c"tmpfs").and_then(|fs| fs.mount(mount::attr::NOSUID)).map(drop),
        net::bring_loopback_up,
        || mount::Filesystem::open(c"proc").and_then(|fs| fs.mount(mount::attr::NOSUID)).map(drop),
    ];
    for (i, step) in (0i32..).zip(steps) {
        if let Err(errno) = step() {
            return (i * 64 + (errno as i32).clamp(1, 63)).min(254);
        }
    }
    0
}

fn verdict(end: Exit) -> Result<(), Refused> {
    let code = i32::from(end.status());
    if code == 0 {
        return Ok(());
    }
    let step = usize::try_from(code / 64).ok().and_then(|i| STEPS.get(i));
    Err(match step {
        Some(step) if code != 255 => Refused { step, why: Errno::from_raw(code % 64).desc().to_lowercase() },
        _ => Refused { step: "run in namespaces", why: format!("the child ended with {code}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        assert_eq!(verdict(Exit::Code(0)), Ok(()));
        let refused = verdict(Exit::Code(64 + 1)).unwrap_err();
        assert_eq!((refused.step, refused.why.as_str()), ("mount a tmpfs", "operation not permitted"));
        assert_eq!(verdict(Exit::Code(255)).unwrap_err().step, "run in namespaces");
    }
}
