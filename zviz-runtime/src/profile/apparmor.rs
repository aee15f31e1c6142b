//! An AppArmor profile of what a profile says: its text, for apparmor_parser(8). Pure: the same words give the same bytes.
//!
//! It is a second lock on doors that others have locked: mounts, Landlock, capabilities and the seccomp filter. What they let
//! through it lets through, so that a program finds no other sandbox under it; and it knows some doors of its own, by which
//! programs with rights over a whole machine leave a container. apparmor.d(5).

mod paths;

use super::Profile;
use super::hashed::sha256;
use crate::plan::capabilities;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use zviz_seccomp::Socket;

/// Which AppArmor profile is in force over whatever runs inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// One that somebody has loaded, by name.
    Named(String),
    /// One that is made of this profile, loaded for it, and unloaded after the last container that has it.
    Generated,
}

/// What a profile of this form is called: this, and digits of the hash of its text.
pub const PREFIX: &str = "zviz-";
/// Hexadecimal digits of the hash: 128 bits.
const DIGITS: usize = 32;
/// In the place of the name while the text is hashed.
const UNNAMED: &str = "zviz-";

/// What AppArmor's own tools have as the meaning of the rules below, whichever version of them reads this. Kinds of rules that
/// came later (user namespaces, io_uring) are not judged: the seccomp filter decides about them.
const ABI: &str = "abi <abi/3.0>,";
/// Files that were opened elsewhere have a path here too, and files that were deleted keep theirs.
const FLAGS: &str = "flags=(attach_disconnected,mediate_deleted)";

/// Ways out of a container, whatever else is said: to be read or written, neither.
const NEVER: &[&str] = &[
    // Keys of a keyboard that restart or stop the machine.
    "/proc/sysrq-trigger",
    // Memory of the kernel and the machine.
    "/proc/{kcore,kmem,mem,kpage*}",
    "/dev/{mem,kmem,port}",
    // Policies of AppArmor itself and other modules (CVE-2026-23405), the kernel's own programs and traces.
    "/sys/kernel/{security,debug,tracing}{/,/**}",
    "/sys/{firmware/efi/efivars,fs/bpf}{/,/**}",
    // What the processor draws tells what others compute (PLATYPUS, CVE-2020-8694).
    "/sys/{devices/virtual,class}/powercap{/,/**}",
];

/// Settings of the whole machine: not to be written. Each group of a pattern is a name that differs in one more letter from
/// those that a container has for itself: `fs/mqueue`, `kernel/{shm,msg,sem}*`, `hostname`, `domainname`, `ns_last_pid`, `net`.
const NEVER_WRITTEN: &[&str] = &[
    "/proc/sys/{[^fknu]**,fs/{[^m]**,m[^q]**}}",
    "/proc/sys/kernel/{[^dhmns]**,d[^o]**,h[^o]**,ho[^s]**,m[^s]**,n[^s]**,s[^eh]**,se[^m]**}",
    "/proc/{acpi,bus,driver,fs,irq,scsi,tty}/**",
    "/proc/{kallsyms,kmsg,mtrr,timer_list,timer_stats,sched_debug}",
    "/sys/kernel/{uevent_helper,kexec*,profiling,mm/**}",
    "/sys/{module,firmware,hypervisor,power,bus}/**",
];

/// Calls of which one is enough to make mounts. The default profile refuses them.
const MOUNTING: &[&str] = &["fsopen", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root"];
/// Calls by which a program comes to a user namespace, and so to all capabilities over what is in it. The default profile
/// refuses them.
const NAMESPACES: &[&str] = &["clone3", "setns"];

/// What a profile has if it names no kinds of sockets: those of the default policy.
const SOCKETS: &[Socket] = &[Socket::Tcp, Socket::Udp, Socket::Netlink];

/// An AppArmor profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// By its content: who has the same one shares it.
    pub name: String,
    /// As apparmor_parser(8) reads it.
    pub text: String,
    /// What it leaves to others, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// The AppArmor profile of a profile.
#[must_use]
pub fn generate(profile: &Profile) -> Policy {
    let (rules, left) = rules(profile);
    let text = |name: &str| {
        let mut text = format!("{ABI}\nprofile {name} {FLAGS} {{\n");
        for rule in &rules {
            let _ = writeln!(text, "  {}", rule.replace(SELF, name));
        }
        text + "}\n"
    };
    let hash = sha256(text(UNNAMED).as_bytes());
    let name = format!("{PREFIX}{}", hash.get(..DIGITS).unwrap_or(&hash));
    Policy { text: text(&name), name, left }
}

/// Stands for the profile's own name in a rule. No path holds it: a NUL byte cannot be in one.
const SELF: &str = "\0";

fn rules(profile: &Profile) -> (Vec<String>, Vec<String>) {
    let (mut rules, left) = paths::rules(&profile.files);
    rules.extend(NEVER.iter().map(|path| format!("audit deny \"{path}\" rwklmx,")));
    if !profile.nested {
        // A sandbox inside limits its own namespaces by /proc/sys/user.
        rules.push("audit deny \"/proc/sys/user/**\" wkl,".into());
    }
    rules.extend(NEVER_WRITTEN.iter().map(|path| format!("audit deny \"{path}\" wkl,")));
    capability(profile, &mut rules);
    network(profile, &mut rules);
    if profile.nested || allows(profile, MOUNTING) {
        rules.extend(["mount,", "umount,", "pivot_root,"].map(str::to_owned));
    }
    // From outside come the runtime's signals and its looks; to the outside goes nothing. A second profile on top is the
    // inside still.
    rules.push("signal (receive),".into());
    rules.extend([SELF, "\0//&*"].map(|peer| format!("signal (send) peer=\"{peer}\",")));
    rules.push("ptrace (readby, tracedby),".into());
    let trace = if traces(profile) { "read, trace" } else { "read" };
    rules.extend([SELF, "\0//&*"].map(|peer| format!("ptrace ({trace}) peer=\"{peer}\",")));
    // Who talks to a bus is decided by who can reach its socket.
    rules.push("dbus,".into());
    (rules, left)
}

/// Whether a profile asks for one of these calls, which the default one refuses.
fn allows(profile: &Profile, calls: &[&str]) -> bool {
    let denied = |call: &str| profile.calls.deny.iter().any(|name| name == call);
    profile.calls.beyond_default().iter().any(|(name, _)| calls.contains(name) && !denied(name))
}

fn traces(profile: &Profile) -> bool {
    let calls = &profile.calls;
    let listed = !calls.listed_only || calls.allow.iter().any(|name| name == "ptrace");
    listed && !calls.deny.iter().any(|name| name == "ptrace")
}

fn capability(profile: &Profile, rules: &mut Vec<String>) {
    let known = (1_u64 << capabilities::NAMES.len()) - 1;
    let mask = profile.capabilities & known;
    if mask == known || profile.nested || allows(profile, NAMESPACES) {
        rules.push("capability,".into());
        return;
    }
    let held = capabilities::NAMES.iter().enumerate().filter(|(number, _)| mask >> number & 1 == 1);
    rules.extend(held.map(|(_, name)| format!("capability {},", name.to_ascii_lowercase())));
}

fn network(profile: &Profile, rules: &mut Vec<String>) {
    let kinds = profile.calls.sockets.as_deref().unwrap_or(SOCKETS);
    let mut families = vec!["unix"];
    let of = |kind: &Socket| -> &[&str] {
        match kind {
            Socket::Tcp => &["inet stream", "inet6 stream"],
            Socket::Udp | Socket::Icmp => &["inet dgram", "inet6 dgram"],
            Socket::Netlink => &["netlink raw", "netlink dgram"],
            // Programs talk to each other by pairs of them, as they do by pipes, and are started with some: who may make one
            // is the filter's to say, and which may be reached the mounts'.
            Socket::Unix | Socket::Pair => &[],
        }
    };
    families.extend(kinds.iter().flat_map(of));
    families.sort_unstable();
    families.dedup();
    rules.extend(families.iter().map(|family| format!("network {family},")));
    rules.push("unix,".into());
}

#[cfg(test)]
mod tests;
