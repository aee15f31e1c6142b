//! What a profile allows on purpose.

use std::net::Ipv4Addr;
use zviz_broker::policy::sockets::{Place, Rule, Verdict};
use zviz_runtime::plan::Backend;
use zviz_runtime::profile::files::Workspace;
use zviz_runtime::profile::{Network, Profile};

/// Probes that may succeed, and why, of a profile that lets them.
struct Allowed {
    probes: &'static [&'static str],
    why: fn(&Profile) -> Option<String>,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        probes: &["unshare-user", "clone-user", "clone-user-and-ipc"],
        why: |profile| when(profile.nested, "nested: sandboxes inside make namespaces of users of their own"),
    },
    Allowed {
        probes: &["capabilities-effective", "capabilities-permitted", "capabilities-bounding"],
        why: |profile| kept(profile, u64::MAX),
    },
    Allowed { probes: &["setuid-other"], why: |profile| kept(profile, capability(7)) },
    Allowed { probes: &["setgid-other", "setgroups"], why: |profile| kept(profile, capability(6)) },
    Allowed { probes: &["chown-other"], why: |profile| kept(profile, capability(0)) },
    Allowed { probes: &["bind-low-port"], why: |profile| kept(profile, capability(10)) },
    Allowed { probes: &["file-capabilities"], why: |profile| kept(profile, capability(31)) },
    Allowed {
        probes: &["interrupts", "keys", "key-users", "timer-list", "latency-stats", "acpi", "bus-pci"],
        why: |profile| {
            when(
                profile.nested,
                "nested: /proc has no masks, since a kernel that sees one gives no proc to sandboxes inside",
            )
        },
    },
    Allowed {
        probes: &["shared-memory-max", "ip-forward"],
        why: |profile| {
            when(profile.nested, "nested: /proc has no masks, and these settings are those of its own namespaces")
        },
    },
    Allowed {
        probes: &["sys-firmware", "sys-powercap"],
        why: |profile| when(profile.nested, "nested: runtimes look for /sys, which is read-only"),
    },
    Allowed {
        probes: &["execute-written", "execute-memory"],
        why: |profile| {
            when(
                profile.files.executable.is_none(),
                "filesystem.executable: no list, so that builds run what they make",
            )
        },
    },
    Allowed {
        probes: &["set-user-id-shared"],
        why: |profile| {
            let shared = !matches!(profile.files.workspace, Some(Workspace::Readonly | Workspace::None));
            when(
                shared && !profile.calls.no_set_id,
                "filesystem.workspace: writable, and what is made in it is the caller's, mode and all",
            )
        },
    },
    Allowed {
        probes: &["process-flood"],
        why: |profile| {
            when(profile.limits.pids.is_some_and(|most| most > 2500), "resources.pids_max: more than are tried")
        },
    },
    Allowed { probes: &["list-var-log"], why: |profile| lists(profile, "/var/log") },
    Allowed { probes: &["list-var-lib"], why: |profile| lists(profile, "/var/lib") },
    Allowed { probes: &["list-boot"], why: |profile| lists(profile, "/boot") },
    Allowed { probes: &["list-run"], why: |profile| lists(profile, "/run") },
    Allowed {
        probes: &["host-interfaces"],
        why: |profile| when(profile.network == Some(Network::Host), "network.mode: the host's"),
    },
    Allowed {
        probes: &["host-loopback", "host-loopback-mapped", "host-loopback-any"],
        why: |profile| reaches(profile, Ipv4Addr::LOCALHOST),
    },
    Allowed { probes: &["metadata"], why: |profile| reaches(profile, Ipv4Addr::new(169, 254, 169, 254)) },
    Allowed { probes: &["route-private"], why: |profile| reaches(profile, Ipv4Addr::new(10, 0, 0, 1)) },
    Allowed { probes: &["route-world"], why: |profile| reaches(profile, Ipv4Addr::new(192, 0, 2, 1)) },
];

/// A mask of one, by its number in capabilities(7).
const fn capability(number: u32) -> u64 {
    1 << number
}

/// Whether the network has no rule against an address.
fn reaches(profile: &Profile, address: Ipv4Addr) -> Option<String> {
    let matches = |rule: &&Rule| match rule.place() {
        Place::Net(net) => net.within.is_empty() || net.within.iter().any(|within| within.contains(address.into())),
        _ => false,
    };
    let verdict = profile.broker.sockets.as_ref().map_or(Verdict::Allow, |sockets| {
        sockets.connect.iter().find(matches).map_or(sockets.otherwise, |rule| rule.verdict())
    });
    let open = profile.network == Some(Network::Host) && verdict == Verdict::Allow;
    when(open, &format!("network.mode: the host's, and no rule is against {address}"))
}

/// What a profile names below a folder is there.
fn lists(profile: &Profile, folder: &str) -> Option<String> {
    let named = profile.files.used().find(|path| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    named.map(|path| format!("filesystem: {path}"))
}

/// Why a probe may succeed under a profile; none if it may not.
#[must_use]
pub fn reason(profile: &Profile, probe: &str) -> Option<String> {
    let mut rows = ALLOWED.iter().filter(|row| row.probes.contains(&probe));
    rows.find_map(|row| (row.why)(profile)).or_else(|| named(profile, probe))
}

/// Probes that succeed without namespaces, and why nothing keeps them from it. docs/landlock.md tells the same.
pub const WITHOUT_NAMESPACES: &[(&[&str], &str)] = &[
    (
        &["capabilities-bounding"],
        "only who has CAP_SETPCAP takes capabilities out of the bounding set; with no_new_privs nothing gives them",
    ),
    (&["uid-map"], "there is no user namespace: ids are the host's"),
    (&["listmount"], "there is no mount namespace: the host's mounts can be listed, and not changed"),
    (&["list-run", "dev-serial"], "there is no mount namespace: that a file is there is seen, what is in it is not"),
    (&["pidfd-outside"], "there is no pid namespace: processes can be named; signals and tracing are refused"),
    (&["arguments-outside"], "there is no pid namespace: /proc shows the command lines of the host's processes"),
    (&["keys", "key-users", "interrupts"], "there are no masks over /proc, which is shared to be read"),
    (
        &["timer-list", "slabinfo", "vmallocinfo", "kpagecount", "kpageflags", "list-process-1-files"],
        "it runs as root of the host: what is root's alone below /proc is read",
    ),
    (&["host-interfaces"], "there is no network namespace: interfaces can be counted, and no socket can be made"),
    (&["process-flood"], "there is no cgroup, and RLIMIT_NPROC would count every process of the user"),
];

/// Why a probe may succeed under a backend.
#[must_use]
pub fn without_namespaces(backend: Backend, probe: &str) -> Option<String> {
    let row = WITHOUT_NAMESPACES.iter().find(|(probes, _)| probes.contains(&probe));
    let (_, why) = row.filter(|_| backend == Backend::Landlock)?;
    Some(format!("--backend landlock: {why}"))
}

fn when(holds: bool, why: &str) -> Option<String> {
    holds.then(|| why.to_owned())
}

/// Capabilities that the profile keeps.
fn kept(profile: &Profile, of: u64) -> Option<String> {
    let kept = profile.capabilities & of;
    when(kept != 0, &format!("capabilities.keep: {kept:#x}, over what is the sandbox's own"))
}

/// Of a probe that is named as the system call that it makes, or begins with its name: that the profile allows the call, which
/// the default profile refuses. What that one decides by arguments stays decided so, whoever lists it.
fn named(profile: &Profile, probe: &str) -> Option<String> {
    let word = probe.replace('-', "_");
    let is = |name: &str| word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
    let mut beyond = profile.calls.beyond_default().into_iter().map(|(name, _)| name);
    let name = beyond.find(|name| is(name) && !profile.calls.deny.iter().any(|denied| denied == name))?;
    Some(format!("syscalls.allow: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_excuses_only_what_it_says() {
        let mut profile = Profile::default();
        let all = || crate::GROUPS.iter().flat_map(|group| group.probes).map(|probe| probe.name);
        let allowed: Vec<&str> = all().filter(|probe| reason(&profile, probe).is_some()).collect();
        assert_eq!(allowed, ["set-user-id-shared", "execute-written", "execute-memory"]);
        profile.calls.no_set_id = true;
        assert_eq!(reason(&profile, "set-user-id-shared"), None);
        profile.calls.allow = ["open", "clone", "unshare", "mount", "bpf"].map(str::to_owned).into();
        let excused = |probe: &str| reason(&profile, probe).is_some();
        assert!(excused("mount-tmpfs") && excused("bpf-map"));
        assert!(!excused("open-by-handle") && !excused("clone-user") && !excused("unshare-user") && !excused("keyctl"));
        profile.calls.deny = vec!["bpf".into()];
        assert_eq!(reason(&profile, "bpf-map"), None);
    }
}
