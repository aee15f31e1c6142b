//! The AppArmor profile that is made of the profile: decided here, loaded by `apply::apparmor`.

use super::input::{Findings, Input};
use super::namespaces::{Namespace, Namespaces};
use crate::host::Host;
use crate::profile::apparmor::{Policy, Wanted, generate};

/// CAP_MAC_ADMIN, linux/capability.h.
const MAC_ADMIN: u64 = 1 << 33;

/// The policy to load, where the profile wants one of its own.
pub(super) fn plan(input: Input, namespaces: &Namespaces, found: &mut Findings) -> Option<Policy> {
    let profile = input.profile;
    if profile.apparmor != Some(Wanted::Generated) {
        return None;
    }
    let place = format!("profile {}: lsm.type", profile.name);
    if let Some((why, remedy)) = lacking(input.host) {
        match profile.requirements.lsm_optional {
            true => found.note(place, format!("{why}: left out (requirements.lsm: optional)")),
            false => found.problem(place, format!("{why}: {remedy}")),
        }
        return None;
    }
    if namespaces.mount == Namespace::Host {
        found.problem(
            place.as_str(),
            "needs a mount namespace of the container's own: its rules are about paths of the inside",
        );
    }
    let policy = generate(profile);
    for what in &policy.left {
        found.note(&place, what);
    }
    Some(policy)
}

/// Why no policy can be loaded here, and what to do about it.
fn lacking(host: &Host) -> Option<(&'static str, &'static str)> {
    if !host.apparmor {
        return Some((
            "this kernel has no AppArmor",
            "start it with apparmor=1 security=apparmor, or leave lsm.type out",
        ));
    }
    let may_load = host.euid == 0 && !host.user_namespace && host.capabilities & MAC_ADMIN != 0;
    (!may_load).then_some((
        "only root of the host loads AppArmor profiles (CAP_MAC_ADMIN)",
        "run zviz as root, or let root load the one that `zviz compile` writes, and name it in lsm.profile",
    ))
}
