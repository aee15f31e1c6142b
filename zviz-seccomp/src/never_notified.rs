//! System calls that no supervisor may be asked about, and why.

use crate::CATEGORIES;

const RETRY: &str =
    "callers do not make it again after EINTR, which a signal before the supervisor has received it gives";
const INIT: &str = "init makes it after the filter is loaded, and would wait for a supervisor that waits for init";
const OWN: &str = "it changes the calling thread, for which nobody else can make it";
const EXEC: &str = "what it runs lies in memory that can change after it was checked; Landlock decides about execution";
const HIDDEN: &str = "it makes other calls where no filter sees them";
const FAULTS: &str = "page faults that are held open would hold the supervisor that reads them";

#[rustfmt::skip]
const NEVER: &[(&str, &[&str])] = &[
    (RETRY, &[
        "brk", "clone", "clone3", "close", "close_range", "dup", "dup2", "dup3", "fork", "futex", "futex_requeue",
        "futex_wait", "futex_waitv", "futex_wake", "madvise", "mmap", "mprotect", "mremap", "munmap", "vfork", "wait4",
        "waitid",
    ]),
    // A write that was asked about hung crun (#1002).
    (INIT, &["capset", "execve", "exit", "exit_group", "read", "write"]),
    (OWN, &[
        "arch_prctl", "get_thread_area", "landlock_restrict_self", "map_shadow_stack", "modify_ldt", "restart_syscall",
        "rseq", "rseq_slice_yield", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "seccomp", "set_robust_list",
        "set_thread_area", "set_tid_address", "sigaltstack", "uprobe", "uretprobe",
    ]),
    (EXEC, &["execveat"]),
    (HIDDEN, &["io_uring_enter", "io_uring_register", "io_uring_setup"]),
    (FAULTS, &["userfaultfd"]),
];

/// Why a call must not be asked about; `None` where it may.
pub fn why_never(name: &str) -> Option<&'static str> {
    NEVER.iter().find(|(_, names)| names.contains(&name)).map(|(why, _)| *why)
}

/// The system call whose name is most like this one, if any is.
pub fn nearest(name: &str) -> Option<&'static str> {
    let calls = CATEGORIES.iter().flat_map(|category| category.calls.iter().copied());
    // Names from outside can be of any length; the longest of a call has 23 bytes.
    let near = |call: &'static str| (name.len() < 32).then(|| (edits(name, call), !call.starts_with(name), call));
    let (edits, _, call) = calls.filter_map(near).min()?;
    (edits <= call.len().max(name.len()) / 3).then_some(call)
}

/// How many bytes have to be put in, taken out or replaced to get from one name to the other (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, left) in from.bytes().enumerate() {
        let mut before = i;
        let mut current = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(to.bytes()) {
            let above = *cell;
            let replaced = before + usize::from(left != right);
            *cell = replaced.min(above + 1).min(current + 1);
            before = above;
            current = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_calls_and_each_has_one_reason() {
        let mut all: Vec<&str> = NEVER.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for name in all {
            assert!(CATEGORIES.iter().any(|category| category.calls.contains(&name)), "{name}");
        }
    }

    #[test]
    fn distance_and_suggestion() {
        assert_eq!((edits("", ""), edits("", "abc"), edits("abc", "")), (0, 3, 3));
        assert_eq!((edits("kitten", "sitting"), edits("openat", "open"), edits("mount", "umount2")), (3, 2, 2));
        assert_eq!(nearest("umount"), Some("umount2"));
        assert_eq!(nearest("conect"), Some("connect"));
        assert_eq!(nearest("opnat2"), Some("openat2"));
        assert_eq!(nearest("stat64"), Some("stat"));
        assert_eq!(nearest("no such call at all"), None);
        assert_eq!(nearest(&"x".repeat(1 << 20)), None);
    }
}
