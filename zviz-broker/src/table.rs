//! The one table of what the broker handles: the filter, the planner, the manual and the broker itself read it.

use crate::decision::Decision;
use crate::handlers::sockets::{self, messages};
use crate::handlers::{bpf, changes, files, mounts, names, system};
use crate::held::Held;
use crate::policy::Policy;

/// One system call.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Whether a policy wants it served.
    pub wanted: fn(&Policy) -> bool,
    /// What is done about it.
    pub decide: fn(&Policy, Held<'_>) -> Decision,
    /// In a line.
    pub what: &'static str,
}

/// Every call that is handled, by name.
pub const TABLE: &[Entry] = &[
    Entry {
        name: "bind",
        wanted: |policy| policy.sockets.is_some(),
        decide: sockets::bind,
        what: "by address, port, path and name, on the caller's socket",
    },
    Entry {
        name: "bpf",
        wanted: |policy| policy.bpf_devices,
        decide: bpf::bpf,
        what: "programs that decide about devices, for cgroups below the container's own",
    },
    Entry { name: "chmod", wanted: names::wanted, decide: changes::chmod, what: "as unlink, about what is to change" },
    Entry { name: "connect", wanted: |policy| policy.sockets.is_some(), decide: sockets::connect, what: "as bind" },
    Entry { name: "creat", wanted: |policy| policy.files.is_some(), decide: files::creat, what: "as openat" },
    Entry { name: "fchmod", wanted: names::wanted, decide: changes::fchmod, what: "as chmod" },
    Entry { name: "fchmodat", wanted: names::wanted, decide: changes::fchmodat, what: "as chmod" },
    Entry { name: "fchmodat2", wanted: names::wanted, decide: changes::fchmodat2, what: "as chmod" },
    Entry { name: "link", wanted: names::wanted, decide: names::link, what: "as rename" },
    Entry { name: "linkat", wanted: names::wanted, decide: names::linkat, what: "as rename" },
    Entry { name: "mkdir", wanted: names::wanted, decide: changes::mkdir, what: "as unlink, about what is made" },
    Entry { name: "mkdirat", wanted: names::wanted, decide: changes::mkdirat, what: "as mkdir" },
    Entry {
        name: "mknod",
        wanted: changes::nodes_wanted,
        decide: changes::mknod,
        what: "null, zero, full, random, urandom and tty, as a mount of the container's own node; the rest as mkdir",
    },
    Entry { name: "mknodat", wanted: changes::nodes_wanted, decide: changes::mknodat, what: "as mknod" },
    Entry {
        name: "mount",
        wanted: |policy| policy.mounts.is_some(),
        decide: mounts::mount,
        what: "of listed types with known options; binds, moves, propagation and remounts",
    },
    Entry { name: "open", wanted: |policy| policy.files.is_some(), decide: files::open, what: "as openat" },
    Entry {
        name: "openat",
        wanted: |policy| policy.files.is_some(),
        decide: files::openat,
        what: "by rules about the file's own name, with the caller's own rights",
    },
    Entry { name: "openat2", wanted: |policy| policy.files.is_some(), decide: files::openat2, what: "as openat" },
    Entry {
        name: "pivot_root",
        wanted: |policy| policy.mounts.is_some(),
        decide: mounts::pivot_root,
        what: "with the caller's own rights",
    },
    Entry {
        name: "rename",
        wanted: names::wanted,
        decide: names::rename,
        what: "where rules refuse files by name: by those about both names, with the caller's own rights",
    },
    Entry { name: "renameat", wanted: names::wanted, decide: names::renameat, what: "as rename" },
    Entry { name: "renameat2", wanted: names::wanted, decide: names::renameat2, what: "as rename" },
    Entry { name: "rmdir", wanted: names::wanted, decide: changes::rmdir, what: "as unlink" },
    Entry {
        name: "sendmmsg",
        wanted: |policy| policy.sockets.is_some(),
        decide: messages::sendmmsg,
        what: "as sendmsg",
    },
    Entry {
        name: "sendmsg",
        wanted: |policy| policy.sockets.is_some(),
        decide: messages::sendmsg,
        what: "as connect, with up to 64 KiB and 24 descriptors",
    },
    Entry { name: "sendto", wanted: |policy| policy.sockets.is_some(), decide: messages::sendto, what: "as sendmsg" },
    Entry { name: "symlink", wanted: names::wanted, decide: names::symlink, what: "as rename, about the new name" },
    Entry { name: "symlinkat", wanted: names::wanted, decide: names::symlinkat, what: "as symlink" },
    Entry {
        name: "sysinfo",
        wanted: |policy| policy.sysinfo,
        decide: system::sysinfo,
        what: "the container's limits instead of the host's memory",
    },
    Entry { name: "truncate", wanted: names::wanted, decide: changes::truncate, what: "as unlink, about what is cut" },
    Entry {
        name: "umount2",
        wanted: |policy| policy.mounts.is_some(),
        decide: mounts::umount2,
        what: "with the caller's own rights",
    },
    Entry {
        name: "uname",
        wanted: |policy| policy.uname.is_some(),
        decide: system::uname,
        what: "another release and version",
    },
    Entry {
        name: "unlink",
        wanted: names::wanted,
        decide: changes::unlink,
        what: "where rules refuse files by name: by those about writing it, with the caller's own rights",
    },
    Entry { name: "unlinkat", wanted: names::wanted, decide: changes::unlinkat, what: "as unlink" },
];

/// The entry of a name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_known() {
        assert!(TABLE.is_sorted_by_key(|entry| entry.name));
        for entry in TABLE {
            // A generic architecture has no mknod of its own; libc uses mknodat there.
            let known = zviz_seccomp::number_of(entry.name, zviz_seccomp::Arch::X86_64);
            assert!(known.is_some(), "{}", entry.name);
        }
    }
}
