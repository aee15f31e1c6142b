//! Id maps: well formed, and allowed to who runs us.

use super::input::{Findings, Input};
use super::namespaces::{IdMap, User};
use crate::host::{Host, IdRange};
use oci_spec::runtime as oci;

/// The kernel takes no more lines in one map. user_namespaces(7), since Linux 4.15.
const MAX_LINES: usize = 340;

/// A list of lines as the kernel takes them; faults are recorded at `place`.
pub(super) fn lines(given: &[oci::LinuxIdMapping], place: &str, found: &mut Findings) -> Vec<IdMap> {
    if given.len() > MAX_LINES {
        found.problem(place, format!("{} lines, of which the kernel takes {MAX_LINES}", given.len()));
        return Vec::new();
    }
    let line = |m: &oci::LinuxIdMapping| IdMap { inside: m.container_id(), outside: m.host_id(), count: m.size() };
    let lines: Vec<IdMap> = given.iter().map(line).collect();
    for (i, line) in lines.iter().enumerate() {
        if line.count == 0 {
            found.problem(format!("{place}[{i}].size"), "must be at least 1");
        }
        for (field, first) in [("containerID", line.inside), ("hostID", line.outside)] {
            // The last id, u32::MAX, means "no id" to the kernel.
            if u64::from(first) + u64::from(line.count) > u64::from(u32::MAX) {
                found.problem(
                    format!("{place}[{i}].{field}"),
                    format!("{first} and {} more pass the last id", line.count),
                );
            }
        }
        for (j, earlier) in lines[..i].iter().enumerate() {
            if overlap(earlier.inside, earlier.count, line.inside, line.count) {
                found.problem(format!("{place}[{i}].containerID"), format!("overlaps with {place}[{j}]"));
            }
            if overlap(earlier.outside, earlier.count, line.outside, line.count) {
                found.problem(format!("{place}[{i}].hostID"), format!("overlaps with {place}[{j}]"));
            }
        }
    }
    lines
}

fn overlap(a: u32, a_count: u32, b: u32, b_count: u32) -> bool {
    let (a, b) = (u64::from(a), u64::from(b));
    a < b + u64::from(b_count) && b < a + u64::from(a_count)
}

/// Whether an id inside has one outside.
pub(super) fn maps(lines: &[IdMap], inside: u32) -> bool {
    lines.iter().any(|m| inside >= m.inside && u64::from(inside) < u64::from(m.inside) + u64::from(m.count))
}

/// The new user namespace of the spec.
pub(super) fn user(input: Input, found: &mut Findings) -> User {
    let linux = input.linux();
    let uids = linux.and_then(|l| l.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|l| l.gid_mappings().as_deref()).unwrap_or_default();
    let uids = lines(uids, "linux.uidMappings", found);
    let gids = lines(gids, "linux.gidMappings", found);
    for (lines, place) in [(&uids, "linux.uidMappings"), (&gids, "linux.gidMappings")] {
        if lines.is_empty() {
            found.problem(place, "a new user namespace needs an id map");
        } else if !maps(lines, 0) && !input.request.sandbox {
            found.problem(place, "id 0 is not mapped: the container's files and mounts are made by it");
        }
    }
    let host = input.host;
    if !host.rootless {
        return User::New { uids, gids, setgroups: true, by_helper: false };
    }
    // Unprivileged: our own id alone can be written by ourselves; anything more takes the set-user-ID helpers, which
    // allow what /etc/subuid and /etc/subgid grant. user_namespaces(7), newuidmap(1).
    let by_helper = !is_own(&uids, host.euid) || !is_own(&gids, host.egid);
    if by_helper {
        allowed(&uids, host.euid, &host.subuids, "linux.uidMappings", "/etc/subuid", found);
        allowed(&gids, host.egid, &host.subgids, "linux.gidMappings", "/etc/subgid", found);
        if !host.id_helpers {
            found.problem(
                "linux.uidMappings",
                "more than our own id needs newuidmap(1) and newgidmap(1): install uidmap",
            );
        }
    }
    User::New { uids, gids, setgroups: by_helper, by_helper }
}

fn is_own(lines: &[IdMap], id: u32) -> bool {
    matches!(lines, [one] if one.outside == id && one.count == 1)
}

fn allowed(lines: &[IdMap], own: u32, ranges: &[IdRange], place: &str, file: &str, found: &mut Findings) {
    for (i, line) in lines.iter().enumerate() {
        let ours = line.outside == own && line.count == 1;
        if !ours && !Host::owns(ranges, line.outside, line.count) {
            let last = u64::from(line.outside) + u64::from(line.count.max(1)) - 1;
            found.problem(format!("{place}[{i}].hostID"), format!("{}-{last} are not ours by {file}", line.outside));
        }
    }
}

/// The id outside of an id inside.
pub(super) fn outside(lines: &[IdMap], inside: u32) -> Option<u32> {
    let line = lines.iter().find(|m| inside.checked_sub(m.inside).is_some_and(|offset| offset < m.count))?;
    line.outside.checked_add(inside - line.inside)
}
