//! AppArmor profile and SELinux label of the payload: applied, or refused where the kernel has none.

use super::input::Findings;
use crate::host::Host;
use oci_spec::runtime::Process;

/// The profile to change to at exec. `unconfined` asks for nothing.
pub(super) fn apparmor(host: &Host, given: &Process, found: &mut Findings) -> Option<String> {
    let profile = given.apparmor_profile().clone().filter(|name| !name.is_empty())?;
    if !host.apparmor {
        if profile == "unconfined" {
            return None;
        }
        found.problem("process.apparmorProfile", "this kernel has no AppArmor: leave the profile out");
    }
    if profile.contains(['\n', ' ']) {
        found.problem("process.apparmorProfile", format!("{profile:?} is no name of a profile"));
    }
    Some(profile)
}

/// The label to take at exec.
pub(super) fn selinux(host: &Host, given: &Process, found: &mut Findings) -> Option<String> {
    let label = given.selinux_label().clone().filter(|label| !label.is_empty())?;
    if !host.selinux {
        found.problem("process.selinuxLabel", "this kernel has no SELinux: leave the label out");
    }
    Some(label)
}
