//! Places where attempts succeed, if a kernel has what they reach for: each probe's proof that it tests something.

use crate::probe::Control;
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use zviz_sys::Errno;
use zviz_sys::process::unshare;

/// All that this process may change when it has them is its own.
const OWN: i32 =
    libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

/// nobody, who owns nothing.
const NOBODY: u32 = 65534;

/// Brings this process where its probe works. It must be root's.
///
/// # Errors
/// As unshare(2), mount(2), setresuid(2). EINVAL for a place that is none.
pub fn enter(control: Control) -> Result<(), Errno> {
    match control {
        Control::Root => own_namespaces(),
        Control::Host => Ok(()),
        Control::User => become_nobody(),
        Control::Namespaced => {
            become_nobody()?;
            unshare(libc::CLONE_NEWUSER as u64)?;
            own_namespaces()
        }
        Control::Impossible(_) => Err(Errno::EINVAL),
    }
}

fn own_namespaces() -> Result<(), Errno> {
    unshare(OWN as u64)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}

fn become_nobody() -> Result<(), Errno> {
    // Nothing of it is left behind, whatever a probe does.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}
