//! Whether this host lets a sandbox have namespaces, and if not, what it is that does not: for an error, in one line.

use super::probe::{APPARMOR_USERNS, MAX_USER_NAMESPACES, UNPRIVILEGED_USERNS};
use super::trial::{self, PROC, Refused};
use std::fmt;
use std::fs;

/// Why there are no namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    refused: Refused,
    by: String,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forbidden { refused: Refused { step, why }, by } = self;
        write!(f, "this host lets nobody make the namespaces of a sandbox: {step}: {why}: {by}")
    }
}

/// Tries to make them. None if that works. It takes a few milliseconds.
#[must_use]
pub fn forbidden() -> Option<Forbidden> {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let refused = trial::namespaces(uid, gid).err()?;
    let by = by(&refused, uid == 0, &|path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned()));
    Some(Forbidden { refused, by })
}

/// What it is, as far as settings tell.
fn by(refused: &Refused, root: bool, read: &dyn Fn(&str) -> Option<String>) -> String {
    let is = |path: &str, value: &str| read(path).as_deref() == Some(value);
    let sysctl = |path: &str| path.trim_start_matches("/proc/sys/").replace('/', ".");
    for (path, value, only_users) in
        [(MAX_USER_NAMESPACES, "0", false), (UNPRIVILEGED_USERNS, "0", true), (APPARMOR_USERNS, "1", true)]
    {
        if is(path, value) && !(only_users && root) {
            return format!("{} is {value}", sysctl(path));
        }
    }
    if refused.step == PROC {
        return "a container around this masks parts of its own /proc (docker run --security-opt systempaths=unconfined)".into();
    }
    if refused.why.contains("space") {
        return "too many namespaces are in use (/proc/sys/user)".into();
    }
    let status = read("/proc/self/status").unwrap_or_default();
    let label = read("/proc/self/attr/current").filter(|label| !label.is_empty() && !label.starts_with("unconfined"));
    let filtered = status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]));
    match (filtered, label) {
        (true, Some(label)) => {
            format!("the seccomp filter or the label {label} of a container around this, most likely")
        }
        (true, None) => "the seccomp filter of a container around this, most likely".into(),
        (false, Some(label)) => format!("the label {label}, most likely"),
        (false, None) => "zviz doctor says what would help".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_named() {
        let refused = Refused { step: "make namespaces (clone3)", why: "operation not permitted".into() };
        let with = |path: &'static str, text: &'static str, root: bool| {
            by(&refused, root, &move |asked| (asked == path).then(|| text.to_owned()))
        };
        assert_eq!(with(MAX_USER_NAMESPACES, "0", true), "user.max_user_namespaces is 0");
        assert_eq!(with(UNPRIVILEGED_USERNS, "0", false), "kernel.unprivileged_userns_clone is 0");
        assert_eq!(with(APPARMOR_USERNS, "1", false), "kernel.apparmor_restrict_unprivileged_userns is 1");
        assert_eq!(with(UNPRIVILEGED_USERNS, "0", true), "zviz doctor says what would help");
        assert!(with("/proc/self/status", "Name:\tzviz\nSeccomp:\t2\n", true).starts_with("the seccomp filter of"));
        assert!(with("/proc/self/attr/current", "docker-default (enforce)", true).contains("docker-default"));
    }
}
