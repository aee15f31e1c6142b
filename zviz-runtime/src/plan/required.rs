//! What a profile requires of the host and of the spec, held against the plan.

use super::input::Input;
use super::network::Link;
use super::{Backend, Net, Plan, Problems, User};
use crate::profile::Network;

/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, without which a signal loses what the broker has done.
const NOTIFY: (u32, u32) = (5, 19);

/// Every requirement that the plan does not meet.
pub(super) fn check(input: Input, plan: &Plan, problems: &mut Problems) {
    let profile = input.profile;
    let asked = &profile.requirements;
    let at = |key: &str| format!("profile {}: {key}", profile.name);
    let kernel = (input.host.kernel.major, input.host.kernel.minor);
    if (asked.notify || !profile.broker.is_empty()) && kernel < NOTIFY {
        problems.add(at("broker"), format!("needs Linux 5.19, this is {}.{}", kernel.0, kernel.1));
    }
    if asked.lsm && plan.process.apparmor_profile.is_none() && plan.process.selinux_label.is_none() {
        problems.add(at("requirements.lsm"), "neither an AppArmor profile nor a SELinux label would be in force");
    }
    if asked.seccomp && plan.seccomp.is_none() {
        problems.add("linux.seccomp", "is required of every container on this host (security.require_seccomp)");
    }
    if asked.backend.is_some_and(|backend| backend != plan.backend && backend == Backend::Namespaces) {
        problems.add(at("requirements.backend"), "is namespaces: --backend landlock has none");
    }
    if asked.user_namespace && matches!(plan.namespaces.user, User::Host) {
        problems.add(
            at("requirements.user_namespaces"),
            "the container has the host's: linux.namespaces needs one of type user",
        );
    }
    if profile.limits.cpu_total.is_some() && !plan.cgroup.counts_time() {
        problems.add(at("resources.cpu_time_total"), "this caller has no cgroup that counts processor time");
    }
    // Without sockets there is no network either.
    let without = input.request.in_place.is_some_and(|in_place| !in_place.network);
    let unlinked = input.request.link == Link::None;
    let alone = matches!(plan.namespaces.net, Net::New { .. }) && unlinked || without;
    if profile.network == Some(Network::None) && !alone {
        let what = "none is required, and the container is given one: --net none, or in linux.namespaces one of type network without a path";
        problems.add(at("network.mode"), what);
    }
    if matches!(plan.namespaces.net, Net::Host) && !without {
        let own = matches!(profile.network, Some(Network::Bridge | Network::Pasta | Network::Private));
        let mode = own.then_some("network.mode").into_iter();
        let keys = mode.chain(profile.packets.iter().flat_map(|packets| packets.only.iter().map(String::as_str)));
        for key in keys {
            let what = "needs a network of the container's own (--net private; linux.namespaces with one of type network), \
                        and it is given the host's";
            problems.add(at(key), what);
        }
    }
}
