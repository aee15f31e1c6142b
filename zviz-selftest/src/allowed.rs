//! What a profile allows on purpose.

use zviz_runtime::profile::Profile;

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
    Allowed { probes: &["setuid-other"], why: |profile| kept(profile, SETUID) },
    Allowed { probes: &["setgid-other", "setgroups"], why: |profile| kept(profile, SETGID) },
];

/// CAP_SETGID and CAP_SETUID of capabilities(7), as masks.
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;

/// Why a probe may succeed under a profile; none if it may not.
#[must_use]
pub fn reason(profile: &Profile, probe: &str) -> Option<String> {
    let mut rows = ALLOWED.iter().filter(|row| row.probes.contains(&probe));
    rows.find_map(|row| (row.why)(profile)).or_else(|| named(profile, probe))
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
        assert!(
            crate::GROUPS.iter().flat_map(|group| group.probes).all(|probe| reason(&profile, probe.name).is_none())
        );
        profile.calls.allow = ["open", "clone", "unshare", "mount", "bpf"].map(str::to_owned).into();
        let excused = |probe: &str| reason(&profile, probe).is_some();
        assert!(excused("mount-tmpfs") && excused("bpf-map"));
        assert!(!excused("open-by-handle") && !excused("clone-user") && !excused("unshare-user") && !excused("keyctl"));
        profile.calls.deny = vec!["bpf".into()];
        assert_eq!(reason(&profile, "bpf-map"), None);
    }
}
