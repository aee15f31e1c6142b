//! Puts the device rules into force: a program on v2, a list on v1.

use super::device_program::assemble;
use super::{Error, dir::Dir};
use crate::plan::cgroup::Cgroup;
use nix::errno::Errno;
use std::os::fd::AsFd;
use zviz_sys::bpf;

/// Sets the rules of a cgroup, if it has any.
///
/// # Errors
/// Where they cannot be enforced.
pub fn set(cgroup: &Cgroup, unified: Option<&Dir>) -> Result<(), Error> {
    let Some(rules) = &cgroup.devices else { return Ok(()) };
    #[cfg(feature = "cgroup-v1")]
    if let Some(group) = cgroup.v1("devices") {
        return super::v1::set_devices(group, rules);
    }
    attach(unified.ok_or(Error::None("given device rules"))?, &assemble(rules))
}

/// Attaches the program, in the place of those that are there: at no moment are there fewer rules than before or after.
fn attach(dir: &Dir, program: &[bpf::Insn]) -> Result<(), Error> {
    let failed = |call| move |errno: Errno| Error::DeviceFilter { call, path: dir.path().into(), source: errno.into() };
    let program = bpf::load(bpf::CGROUP_DEVICE, program, c"Apache").map_err(failed("load"))?;
    let former = bpf::attached(bpf::CGROUP_DEVICE, dir.as_fd()).map_err(failed("query"))?;
    let put = |instead| bpf::attach(bpf::CGROUP_DEVICE, dir.as_fd(), program.as_fd(), instead);
    if let [one] = &former[..] {
        match put(Some(one.as_fd())) {
            Err(Errno::EINVAL) => {}
            other => return other.map_err(failed("attach")),
        }
    }
    // Several (systemd's beside ours), or a kernel before 5.6: all count until the former ones are gone.
    put(None).map_err(failed("attach"))?;
    for old in &former {
        bpf::detach(bpf::CGROUP_DEVICE, dir.as_fd(), old.as_fd()).map_err(failed("detach"))?;
    }
    Ok(())
}
