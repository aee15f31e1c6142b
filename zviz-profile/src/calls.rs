//! System calls and groups of them, as a profile names them.

use crate::nearest::nearest;
use crate::scalar::Wrong;
use zviz_seccomp::{Arch, CATEGORIES, category, name_of};

/// What the default profile allows, with the arguments that it allows.
pub const DEFAULT: &str = "@default";

/// Groups of older profiles, in terms of today's.
#[rustfmt::skip]
const OLDER: &[(&str, &[&str])] = &[
    ("@basic-io", &["@descriptors"]),
    ("@signal", &["kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
        "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "tgkill", "tkill"]),
    ("@network", &["@sockets", "@socket", "@sockopt"]),
    ("@filesystem", &["@files"]),
    ("@dangerous", &["@mount", "@bpf", "@modules", "@kexec", "@handles", "@keyring", "@perf", "@userfault", "@watch-all",
        "@reboot", "@swap", "@ports", "@clock", "@setns", "@unshare", "@debug"]),
];

/// A name in the form that [`expand`] takes.
pub(crate) fn read(text: &str) -> Result<String, Wrong> {
    if text.starts_with('@') {
        if text == DEFAULT || category(text).is_some() || OLDER.iter().any(|(name, _)| *name == text) {
            return Ok(text.to_owned());
        }
        let all = CATEGORIES.iter().map(|group| group.name).chain(OLDER.iter().map(|(name, _)| *name)).chain([DEFAULT]);
        let meant = nearest(text, all).map(str::to_owned);
        return Err(Wrong { meant, what: format!("there is no group {text:?}") });
    }
    if let Ok(number) = text.parse::<u32>() {
        let name = name_of(number, Arch::native()).filter(|name| is_known(name));
        return name.ok_or_else(|| Wrong { meant: None, what: format!("there is no system call {number}") });
    }
    if is_known(text) {
        return Ok(text.to_owned());
    }
    let meant = nearest(text, CATEGORIES.iter().flat_map(|group| group.calls.iter().copied())).map(str::to_owned);
    Err(Wrong { meant, what: format!("there is no system call {text:?}") })
}

fn is_known(name: &str) -> bool {
    CATEGORIES.iter().any(|group| group.calls.contains(&name))
}

/// The calls that a name of a profile stands for; none for [`DEFAULT`], which is a policy.
#[must_use]
pub fn expand(name: &str) -> Vec<&'static str> {
    if let Some(group) = category(name) {
        return group.calls.to_vec();
    }
    if let Some((_, parts)) = OLDER.iter().find(|(older, _)| *older == name) {
        return parts.iter().flat_map(|part| expand(part)).collect();
    }
    CATEGORIES.iter().flat_map(|group| group.calls).filter(|call| **call == name).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_groups_are_read() {
        let name = |text: &str| read(text).map_err(|wrong| (wrong.what, wrong.meant));
        assert_eq!(name("openat"), Ok("openat".into()));
        assert_eq!(name(&format!("{}", zviz_seccomp::number_of("mount", Arch::native()).unwrap())), Ok("mount".into()));
        assert_eq!(name("@default"), Ok("@default".into()));
        assert_eq!(name("99999"), Err(("there is no system call 99999".into(), None)));
        assert_eq!(name("opennat").unwrap_err().1.as_deref(), Some("openat"));
    }

    #[test]
    fn older_groups_hold_what_they_held() {
        let has = |group: &str, call: &str| expand(group).contains(&call);
        for (group, calls) in [
            ("@basic-io", ["read", "pipe2"]),
            ("@memory", ["mmap", "brk"]),
            ("@process", ["fork", "exit_group"]),
            ("@network", ["socket", "connect"]),
            ("@signal", ["rt_sigaction", "tgkill"]),
            ("@filesystem", ["openat", "readlink"]),
            ("@dangerous", ["mount", "kexec_load"]),
        ] {
            assert!(calls.iter().all(|call| has(group, call)), "{group}");
        }
        for (name, parts) in OLDER {
            assert!(parts.iter().all(|part| !expand(part).is_empty()), "{name}");
        }
        assert_eq!(expand("read"), ["read"]);
        assert_eq!(expand(DEFAULT), [""; 0]);
    }
}
