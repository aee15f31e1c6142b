//! Where a mount may go.

/// The absolute form of a path inside the container, without `.`, `..` and double slashes: `..` at the root stays there.
pub(in crate::plan) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Files of procfs that lxcfs and its like lay their own view over. Anything else below /proc could hide a mask, or
/// redirect what a runtime writes there (CVE-2019-16884, CVE-2025-52881).
const OVER_PROC: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// What is wrong with mounting at `destination`, a clean path.
pub(super) fn refuse(destination: &str, fstype: &str, bind: bool) -> Option<String> {
    if destination == "/" {
        return Some("would hide the container's root".into());
    }
    if destination == "/proc" && !bind && fstype != "proc" {
        return Some(format!("only procfs may be mounted on /proc, not {fstype}"));
    }
    if destination.starts_with("/proc/") && !OVER_PROC.contains(&destination) {
        return Some(format!("nothing may be mounted at {destination}, inside /proc"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (given, want) in [("/a//b/./c", "/a/b/c"), ("a/b", "/a/b"), ("/../../x", "/x"), ("", "/"), ("/a/..", "/")] {
            assert_eq!(clean(given), want);
        }
    }

    #[test]
    fn proc_is_kept_free() {
        assert!(refuse("/proc", "tmpfs", false).is_some());
        assert!(refuse("/proc", "proc", false).is_none());
        assert!(refuse("/proc/self/attr", "none", true).is_some());
        assert!(refuse("/proc/uptime", "none", true).is_none());
        assert!(refuse("/processes", "tmpfs", false).is_none());
    }
}
