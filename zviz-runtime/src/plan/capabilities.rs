//! The five capability sets: names to masks, and which the host can give.

use super::input::Findings;
use super::namespaces::User;
use super::process::Capabilities;
use crate::host::Host;
use crate::profile::Profile;
use oci_spec::runtime as oci;

/// Every capability by number, without `CAP_`. capability.h of Linux 6.18; the order is the kernel's ABI.
pub const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a capability by name, with or without `CAP_`, in any case (as Docker and Podman write them).
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == bare).and_then(|n| u32::try_from(n).ok())
}

/// The names in a mask, in the order of their numbers.
pub fn names(mask: u64) -> Vec<String> {
    (0..64)
        .filter(|n| mask & (1 << n) != 0)
        .map(|n| NAMES.get(n).map_or(format!("CAP_{n}"), |name| format!("CAP_{name}")))
        .collect()
}

/// Those of a mask, in a spec's words.
///
/// # Errors
/// The name of one that a spec has no word for.
pub fn in_words(mask: u64) -> Result<oci::Capabilities, String> {
    names(mask).into_iter().map(|name| name.trim_start_matches("CAP_").parse().map_err(|_| name)).collect()
}

/// Of a profile's mask, those that it gives a sandbox: what it lists. All but some leaves what a container's configuration
/// gives, and a sandbox has none.
pub fn listed(mask: u64) -> u64 {
    let beyond = u32::try_from(NAMES.len()).map_or(0, |known| mask.checked_shr(known).unwrap_or(0));
    if beyond == 0 { mask } else { 0 }
}

/// What can be given at all: a user namespace brings every capability, and without one nothing beyond the runtime's own.
/// user_namespaces(7), "Capabilities".
pub(super) fn grantable(host: &Host, user: &User) -> u64 {
    if *user == User::Host { host.capabilities } else { u64::MAX }
}

/// Decides the five sets. An absent list is an empty set: nothing is inherited from the runtime. What cannot be given is
/// left out with a word, as config.md, "Linux Process", wants it: a runtime may itself be in a container.
pub(super) fn plan(
    host: &Host,
    profile: &Profile,
    user: &User,
    given: Option<&oci::LinuxCapabilities>,
    found: &mut Findings,
) -> Capabilities {
    let Some(given) = given else { return Capabilities::default() };
    let known = mask_upto(host.last_capability);
    let grantable = grantable(host, user);
    let mut asked = 0;
    let mut set = |list: &Option<oci::Capabilities>| {
        let mut mask = 0;
        for name in list.iter().flatten().map(ToString::to_string) {
            match number(&name) {
                Some(number) => mask |= 1 << number,
                None => found.problem("process.capabilities", format!("there is no capability {name}")),
            }
        }
        asked |= mask;
        mask & known & grantable & profile.capabilities
    };
    let sets = Capabilities {
        bounding: set(given.bounding()),
        effective: set(given.effective()),
        permitted: set(given.permitted()),
        inheritable: set(given.inheritable()),
        ambient: set(given.ambient()),
    };
    let unknown = asked & !known;
    if unknown != 0 {
        found.note("process.capabilities", format!("this kernel has no {}, left out", names(unknown).join(", ")));
    }
    let lacking = asked & known & !grantable;
    if lacking != 0 {
        found.note("process.capabilities", format!("{} not ours to give, left out", names(lacking).join(", ")));
    }
    checked(sets, found)
}

/// capset(2) refuses an effective set beyond the permitted one; an ambient capability must be permitted and
/// inheritable, and the runtimes before us left out those that are not.
fn checked(mut sets: Capabilities, found: &mut Findings) -> Capabilities {
    let beyond = sets.effective & !sets.permitted;
    if beyond != 0 {
        found.problem("process.capabilities.effective", format!("{} not in permitted", names(beyond).join(", ")));
    }
    let loose = sets.ambient & !(sets.permitted & sets.inheritable);
    if loose != 0 {
        let names = names(loose).join(", ");
        found.note("process.capabilities.ambient", format!("{names} not in permitted and inheritable, left out"));
        sets.ambient &= !loose;
    }
    sets
}

fn mask_upto(last: u32) -> u64 {
    if last >= 63 { u64::MAX } else { (1 << (last + 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_word_of_a_spec() {
        for (number, name) in NAMES.iter().enumerate() {
            let words = in_words(1 << number).unwrap();
            let back: Vec<_> = words.iter().map(|word| super::number(&word.to_string())).collect();
            assert_eq!(back, [u32::try_from(number).ok()], "{name}");
        }
        assert_eq!(in_words(1 << 3 | 1 << 63), Err("CAP_63".to_owned()));
    }

    #[test]
    fn all_but_some_gives_a_sandbox_nothing() {
        for (mask, given) in [(u64::MAX, 0), (!1, 0), (1 << 40, 1 << 40), (0x401, 0x401), (0, 0)] {
            assert_eq!(listed(mask), given, "{mask:x}");
        }
    }
}
