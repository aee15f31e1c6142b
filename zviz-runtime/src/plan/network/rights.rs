//! With which rights a payload could go round the rules of its network, or change them.

use crate::plan::capabilities::names;
use crate::plan::input::Findings;
use crate::plan::network::Network;
use crate::plan::{Capabilities, Namespaces, Net, Seccomp, User};
use zviz_seccomp::{Action, Arch, Program, SeccompData, compile, number_of};

/// linux/capability.h.
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_ADMIN: u64 = 1 << 21;

/// Packets of these are sent without passing any chain: family and type of socket(2). The second is an old name of the first, and
/// the last one writes to a device's queue.
const ROUND: &[(i32, i32)] = &[
    (libc::AF_PACKET, libc::SOCK_RAW),
    (libc::AF_PACKET, libc::SOCK_DGRAM),
    (libc::AF_INET, 10),
    (libc::AF_XDP, libc::SOCK_RAW),
];

/// Whether it may make a raw socket, or get the right to.
pub(in crate::plan) fn makes_packets(capabilities: Capabilities) -> bool {
    held(capabilities) & NET_RAW != 0
}

/// Refuses for one more process what the rules of a container were made without a thought of: who makes packets of TCP that
/// belong to no connection sends them past rules that judge only what begins one.
pub(in crate::plan) fn check_added(capabilities: Capabilities, network: &Network, found: &mut Findings) {
    if makes_packets(capabilities) && zviz_network::rules::untracked(&network.policies, "").is_some() {
        let what = "was no right of the container when the rules of its network were made, and they do not hold who has it: give \
                    it to the container, or leave it out";
        found.problem("exec", format!("CAP_NET_RAW {what}"));
    }
}

fn held(capabilities: Capabilities) -> u64 {
    let Capabilities { bounding, effective, permitted, inheritable, ambient } = capabilities;
    bounding | effective | permitted | inheritable | ambient
}

/// Refuses what could not be held to rules. `place` is where the capabilities were asked for.
pub(in crate::plan) fn check(
    place: &str,
    capabilities: Capabilities,
    namespaces: &Namespaces,
    seccomp: Option<&Seccomp>,
    found: &mut Findings,
) {
    // Rights in a user namespace that is made now are none over a network that was there before.
    if matches!((&namespaces.user, &namespaces.net), (User::New { .. }, Net::Join { .. })) {
        return;
    }
    let held = held(capabilities);
    let changing = held & (NET_ADMIN | SYS_ADMIN);
    if changing != 0 {
        let what = "could change or leave the network whose rules the profile sets: leave it out (docker run --cap-drop), or \
                    use a profile without a network section";
        found.problem(place, format!("{} {what}", names(changing).join(" and ")));
    }
    if held & NET_RAW != 0 && goes_round(seccomp) {
        let what = "with packet sockets sends what no rule of the profile's network sees: leave it out (docker run --cap-drop \
                    NET_RAW), or refuse packet sockets (a seccomp filter; a profile does)";
        found.problem(place, format!("CAP_NET_RAW {what}"));
    }
}

/// Whether a filter lets a socket be made that no rule sees.
fn goes_round(seccomp: Option<&Seccomp>) -> bool {
    let Some(seccomp) = seccomp else { return true };
    let program = match &seccomp.program {
        Some(program) => program.clone(),
        None => match compile(&seccomp.policy) {
            Ok(compiled) => compiled.program,
            Err(_) => return true,
        },
    };
    Arch::all().any(|arch| {
        let passes = |name: &str, args| passes(&program, arch, name, args);
        let socket = ROUND.iter().any(|(family, kind)| {
            let word = |number: &i32| u64::from(number.cast_unsigned());
            passes("socket", [word(family), word(kind), 0, 0, 0, 0])
        });
        // Its arguments are in memory, and a ring's orders as well.
        socket || passes("socketcall", [1, 0, 0, 0, 0, 0]) || passes("io_uring_setup", [0; 6])
    })
}

fn passes(program: &Program, arch: Arch, name: &str, args: [u64; 6]) -> bool {
    let Some(number) = number_of(name, arch) else { return false };
    let answer = program.eval(&SeccompData::new(arch, number, args));
    !matches!(answer, Action::Errno(_) | Action::KillProcess | Action::KillThread | Action::Trap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::IdMap;

    fn said(held: u64, user: User, net: Net, seccomp: Option<&Seccomp>) -> String {
        let mut found = Findings::default();
        let capabilities = Capabilities { bounding: held, ..Capabilities::default() };
        let namespaces = Namespaces { user, net, ..Namespaces::default() };
        check("process.capabilities", capabilities, &namespaces, seccomp, &mut found);
        found.problems.to_string()
    }

    fn new() -> Net {
        Net::New { devices: Vec::new() }
    }

    #[test]
    fn what_could_change_the_rules_is_refused() {
        for (held, name) in [(NET_ADMIN, "CAP_NET_ADMIN"), (SYS_ADMIN, "CAP_SYS_ADMIN"), (NET_RAW, "CAP_NET_RAW")] {
            let said = said(held, User::Host, new(), None);
            assert!(said.starts_with(&format!("process.capabilities: {name} ")), "{said}");
        }
        assert_eq!(said(!(NET_ADMIN | SYS_ADMIN | NET_RAW), User::Host, new(), None), "");
    }

    #[test]
    fn who_comes_later_makes_no_packets_where_only_what_begins_is_judged() {
        use zviz_network::policy::{Limits, Policy, Verdict};
        let said = |held, policies: &[Policy]| {
            let mut found = Findings::default();
            let capabilities = Capabilities { bounding: held, ..Capabilities::default() };
            let network = Network { policies: policies.to_vec(), ..Network::default() };
            check_added(capabilities, &network, &mut found);
            found.problems.to_string()
        };
        let free = Policy { raw: false, ..Policy::new(Verdict::Refuse) };
        let counted = Policy { limits: Limits { connections: Some(9), ..Limits::default() }, ..free.clone() };
        assert!(said(NET_RAW, std::slice::from_ref(&free)).starts_with("exec: CAP_NET_RAW "));
        assert_eq!(said(!NET_RAW, std::slice::from_ref(&free)), "");
        for kept in [vec![], vec![counted.clone()], vec![free, counted], vec![Policy::new(Verdict::Refuse)]] {
            assert_eq!(said(NET_RAW, &kept), "");
        }
    }

    #[test]
    fn rights_elsewhere_are_no_rights_here() {
        let maps = vec![IdMap { inside: 0, outside: 100_000, count: 1 }];
        let user = User::New { uids: maps.clone(), gids: maps, setgroups: true, by_helper: false };
        let join = Net::Join { path: "/run/netns/pod".into(), devices: Vec::new() };
        assert_eq!(said(NET_ADMIN, user.clone(), join.clone(), None), "");
        assert_ne!(said(NET_ADMIN, user, new(), None), "");
        assert_ne!(said(NET_ADMIN, User::Join("/proc/1/ns/user".into()), join.clone(), None), "");
        assert_ne!(said(NET_ADMIN, User::Host, join, None), "");
    }

    #[test]
    fn raw_sockets_are_held_where_the_filter_has_no_packet_sockets() {
        let of = |policy: zviz_seccomp::Policy| Seccomp {
            policy: policy.into(),
            listener_path: None,
            listener_metadata: None,
            program: None,
        };
        let default = of(zviz_seccomp::default_policy());
        assert_eq!(said(NET_RAW, User::Host, new(), Some(&default)), "");
        let mut policy = zviz_seccomp::default_policy();
        policy.default = Action::Allow;
        policy.rules.clear();
        let open = of(policy);
        assert!(said(NET_RAW, User::Host, new(), Some(&open)).contains("packet sockets"));
    }
}
