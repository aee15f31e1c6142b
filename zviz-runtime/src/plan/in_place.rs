//! A plan without namespaces: the host's own files, held by Landlock, and its own system calls, held by seccomp. What neither can
//! keep is refused, if somebody asked for it, and told.
//!
//! Files come as the binds of a spec, each onto its own place: the same words as for a sandbox of mounts.

mod missing;
mod refused;
mod rules;

use super::input::{Findings, Input};
use super::landlock::{ABI_PORTS, ABI_SCOPES, ports, recorded};
use super::process::Capabilities;
use super::{Backend, InPlace, Landlock, Namespaces, Plan, Problems, apparmor, filter, narrow, payload, required};
use crate::profile::Profile;
use zviz_seccomp::Socket;

/// Truncating is a right of its own. Linux 6.2.
const ABI_TRUNCATE: u32 = 3;
/// CAP_SETPCAP, linux/capability.h: who may take capabilities out of the bounding set.
const SETPCAP: u64 = 1 << 8;
/// What the default policy has of sockets, less those that reach other programs of this host by a path or a name.
const KINDS: &[Socket] = &[Socket::Pair, Socket::Tcp, Socket::Udp, Socket::Netlink];

/// Decides it.
pub(super) fn plan(input: Input, wanted: InPlace, mut found: Findings) -> Result<Plan, Problems> {
    refused::check(input, &mut found);
    let profile = narrowed(input, wanted);
    let mut spec = input.spec.clone();
    if let Some(mut process) = spec.oci.process().clone() {
        narrow::process(&mut process, &profile, input.host, &mut found);
        spec.oci.set_process(Some(process));
    }
    let input = Input { spec: &spec, profile: &profile, ..input };
    let namespaces = Namespaces::default();
    let mut process = payload::plan(input, &namespaces, &mut found);
    // They are the caller's, whatever they are.
    process.credentials.groups = None;
    let known = (1u64 << (input.host.last_capability + 1).min(63)) - 1;
    // no_new_privs makes of the bounding set what it is for: nobody gets anything.
    let bounding = if input.host.capabilities & SETPCAP != 0 { 0 } else { known };
    process.capabilities = Capabilities { bounding, ..Capabilities::default() };
    process.no_new_privs = true;
    // Its rules would be about the inside of mounts: refused, with its reason.
    let apparmor = apparmor::plan(input, &namespaces, &mut found);
    let seccomp = filter::plan(input, true, &mut found);
    let landlock = landlock(input, wanted, &mut found);
    missing::tell(input, wanted, &mut found);
    let profile = input.profile.clone();
    let plan = Plan {
        backend: Backend::Landlock,
        namespaces,
        profile,
        apparmor,
        process,
        seccomp,
        landlock,
        ..Plan::default()
    };
    required::check(input, &plan, &mut found.problems);
    let notes = found.notes;
    found.problems.or(Plan { notes, ..plan })
}

/// The profile with what stands in for namespaces.
fn narrowed(input: Input, wanted: InPlace) -> Profile {
    let mut profile = input.profile.clone();
    (profile.seccomp, profile.landlock, profile.no_new_privs) = (true, true, true);
    // One that was compiled beforehand is for a sandbox of namespaces.
    profile.program = None;
    let chosen = profile.calls.sockets.take();
    let kinds = KINDS.iter().filter(|kind| match kind {
        Socket::Pair => chosen.as_ref().is_none_or(|chosen| chosen.contains(&Socket::Unix)),
        other => wanted.network && chosen.as_ref().is_none_or(|chosen| chosen.contains(other)),
    });
    let icmp = wanted.network && chosen.as_ref().is_some_and(|chosen| chosen.contains(&Socket::Icmp));
    profile.calls.sockets = Some(kinds.copied().chain(icmp.then_some(Socket::Icmp)).collect());
    if input.host.landlock_abi < ABI_TRUNCATE {
        // By path, it needs no more than to own the file.
        profile.calls.deny.push("truncate".into());
    }
    profile
}

fn landlock(input: Input, wanted: InPlace, found: &mut Findings) -> Option<Landlock> {
    let abi = input.host.landlock_abi;
    if abi == 0 {
        found.problem("--backend landlock", "this kernel has no Landlock, or it is not switched on (lsm=landlock)");
        return None;
    }
    let rules = rules::rules(input, found);
    let (bind, connect) = match wanted.network {
        true => ports(input, abi, found),
        // Beside the filter, which lets nobody have a socket.
        false if abi >= ABI_PORTS => (Some(Vec::new()), Some(Vec::new())),
        false => (None, None),
    };
    let recorded = recorded(input, abi, found);
    Some(Landlock { abi, rules, scoped: abi >= ABI_SCOPES, bind, connect, recorded })
}

#[cfg(test)]
mod tests;
