//! Which system calls name paths and addresses, and where among their arguments. From their manual pages, section 2.

use crate::call::Intent::{self, *};

/// A call that names something.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    pub paths: &'static [Argument],
    pub address: Option<Address>,
}

/// A path argument. Numbers are those of arguments, from 0.
#[derive(Debug)]
pub struct Argument {
    /// The folder's descriptor; the working folder without one.
    pub dir: Option<u8>,
    pub text: u8,
    pub wants: Wants,
    pub follow: Follow,
}

/// What is to be done with a path.
#[derive(Debug, Clone, Copy)]
pub enum Wants {
    To(Intent),
    /// As the flags of open(2) in that argument say.
    Flags(u8),
    /// As the `struct open_how` that this argument points to says. openat2(2).
    How(u8),
    /// As creat(2).
    Creat,
}

/// Whether a symbolic link at the path's end is followed.
#[derive(Debug, Clone, Copy)]
pub enum Follow {
    Yes,
    No,
    /// Not with this flag in that argument.
    Unless(u8, i32),
    /// Only with it.
    If(u8, i32),
}

/// Where an address is.
#[derive(Debug, Clone, Copy)]
pub enum Address {
    /// A pointer, and a length.
    At(u8, u8),
    /// A pointer to a `struct msghdr`.
    Message(u8),
}

/// A call that takes an open file, which argument that is, and what for. What it leads to is told where the call fails for
/// want of room, or since it may not be executed: the file is why.
pub const OF_DESCRIPTORS: &[(&str, u8, Intent)] = &[
    ("copy_file_range", 2, Write),
    ("fallocate", 0, Write),
    ("ftruncate", 0, Write),
    ("mmap", 4, Execute),
    ("pwrite64", 0, Write),
    ("pwritev", 0, Write),
    ("pwritev2", 0, Write),
    ("sendfile", 0, Write),
    ("write", 0, Write),
    ("writev", 0, Write),
];

const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
const FOLLOW: i32 = libc::AT_SYMLINK_FOLLOW;
/// inotify_add_watch(2): IN_DONT_FOLLOW.
const DONT_FOLLOW: i32 = 0x0200_0000;
/// umount(2): UMOUNT_NOFOLLOW.
const UMOUNT_NOFOLLOW: i32 = 8;
/// move_mount(2): MOVE_MOUNT_T_SYMLINKS.
const TARGET_SYMLINKS: i32 = 0x10;

const fn cwd(text: u8, intent: Intent, follow: Follow) -> Argument {
    Argument { dir: None, text, wants: Wants::To(intent), follow }
}

const fn below(dir: u8, text: u8, intent: Intent, follow: Follow) -> Argument {
    Argument { dir: Some(dir), text, wants: Wants::To(intent), follow }
}

const fn opens(dir: Option<u8>, text: u8, wants: Wants) -> Argument {
    Argument { dir, text, wants, follow: Follow::Yes }
}

const fn paths(name: &'static str, paths: &'static [Argument]) -> Entry {
    Entry { name, paths, address: None }
}

const fn address(name: &'static str, address: Address) -> Entry {
    Entry { name, paths: &[], address: Some(address) }
}

use Follow::{If, No, Unless, Yes};

/// All that are decoded; a call that is not here is reported without names.
pub const TABLE: &[Entry] = &[
    paths("open", &[opens(None, 0, Wants::Flags(1))]),
    paths("openat", &[opens(Some(0), 1, Wants::Flags(2))]),
    paths("openat2", &[opens(Some(0), 1, Wants::How(2))]),
    paths("creat", &[opens(None, 0, Wants::Creat)]),
    paths("execve", &[cwd(0, Execute, Yes)]),
    paths("execveat", &[below(0, 1, Execute, Unless(4, NOFOLLOW))]),
    paths("stat", &[cwd(0, Metadata, Yes)]),
    paths("stat64", &[cwd(0, Metadata, Yes)]),
    paths("lstat", &[cwd(0, Metadata, No)]),
    paths("lstat64", &[cwd(0, Metadata, No)]),
    paths("newfstatat", &[below(0, 1, Metadata, Unless(3, NOFOLLOW))]),
    paths("fstatat64", &[below(0, 1, Metadata, Unless(3, NOFOLLOW))]),
    paths("statx", &[below(0, 1, Metadata, Unless(2, NOFOLLOW))]),
    paths("statfs", &[cwd(0, Metadata, Yes)]),
    paths("statfs64", &[cwd(0, Metadata, Yes)]),
    paths("access", &[cwd(0, Metadata, Yes)]),
    paths("faccessat", &[below(0, 1, Metadata, Yes)]),
    paths("faccessat2", &[below(0, 1, Metadata, Unless(3, NOFOLLOW))]),
    paths("readlink", &[cwd(0, Metadata, No)]),
    paths("readlinkat", &[below(0, 1, Metadata, No)]),
    paths("name_to_handle_at", &[below(0, 1, Metadata, If(4, FOLLOW))]),
    paths("getxattr", &[cwd(0, Metadata, Yes)]),
    paths("lgetxattr", &[cwd(0, Metadata, No)]),
    paths("listxattr", &[cwd(0, Metadata, Yes)]),
    paths("llistxattr", &[cwd(0, Metadata, No)]),
    paths("setxattr", &[cwd(0, Change, Yes)]),
    paths("lsetxattr", &[cwd(0, Change, No)]),
    paths("removexattr", &[cwd(0, Change, Yes)]),
    paths("lremovexattr", &[cwd(0, Change, No)]),
    paths("chmod", &[cwd(0, Change, Yes)]),
    paths("fchmodat", &[below(0, 1, Change, Yes)]),
    paths("fchmodat2", &[below(0, 1, Change, Unless(3, NOFOLLOW))]),
    paths("chown", &[cwd(0, Change, Yes)]),
    paths("chown32", &[cwd(0, Change, Yes)]),
    paths("lchown", &[cwd(0, Change, No)]),
    paths("lchown32", &[cwd(0, Change, No)]),
    paths("fchownat", &[below(0, 1, Change, Unless(4, NOFOLLOW))]),
    paths("utime", &[cwd(0, Change, Yes)]),
    paths("utimes", &[cwd(0, Change, Yes)]),
    paths("futimesat", &[below(0, 1, Change, Yes)]),
    paths("utimensat", &[below(0, 1, Change, Unless(3, NOFOLLOW))]),
    paths("truncate", &[cwd(0, Write, Yes)]),
    paths("truncate64", &[cwd(0, Write, Yes)]),
    paths("mkdir", &[cwd(0, Create, No)]),
    paths("mkdirat", &[below(0, 1, Create, No)]),
    paths("mknod", &[cwd(0, Create, No)]),
    paths("mknodat", &[below(0, 1, Create, No)]),
    paths("unlink", &[cwd(0, Remove, No)]),
    paths("unlinkat", &[below(0, 1, Remove, No)]),
    paths("rmdir", &[cwd(0, Remove, No)]),
    paths("rename", &[cwd(0, Remove, No), cwd(1, Create, No)]),
    paths("renameat", &[below(0, 1, Remove, No), below(2, 3, Create, No)]),
    paths("renameat2", &[below(0, 1, Remove, No), below(2, 3, Create, No)]),
    paths("link", &[cwd(0, Metadata, No), cwd(1, Create, No)]),
    paths("linkat", &[below(0, 1, Metadata, If(4, FOLLOW)), below(2, 3, Create, No)]),
    // Their first argument is the link's text, which names nothing yet.
    paths("symlink", &[cwd(1, Create, No)]),
    paths("symlinkat", &[below(1, 2, Create, No)]),
    paths("chdir", &[cwd(0, Enter, Yes)]),
    paths("chroot", &[cwd(0, Enter, Yes)]),
    paths("pivot_root", &[cwd(0, Enter, Yes), cwd(1, Mount, Yes)]),
    paths("mount", &[cwd(1, Mount, Yes)]),
    paths("umount", &[cwd(0, Mount, Yes)]),
    paths("umount2", &[cwd(0, Mount, Unless(1, UMOUNT_NOFOLLOW))]),
    paths("move_mount", &[below(2, 3, Mount, If(4, TARGET_SYMLINKS))]),
    paths("open_tree", &[below(0, 1, Metadata, Unless(2, NOFOLLOW))]),
    paths("mount_setattr", &[below(0, 1, Mount, Unless(2, NOFOLLOW))]),
    paths("fspick", &[below(0, 1, Mount, Yes)]),
    paths("inotify_add_watch", &[cwd(1, Read, Unless(2, DONT_FOLLOW))]),
    paths("fanotify_mark", &[below(3, 4, Read, Yes)]),
    paths("acct", &[cwd(0, Write, Yes)]),
    paths("swapon", &[cwd(0, ReadWrite, Yes)]),
    paths("swapoff", &[cwd(0, ReadWrite, Yes)]),
    address("connect", Address::At(1, 2)),
    address("bind", Address::At(1, 2)),
    address("sendto", Address::At(4, 5)),
    address("sendmsg", Address::Message(1)),
    // Of several messages, the first one.
    address("sendmmsg", Address::Message(1)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_seccomp::{Arch, number_of};

    /// On one of the two architectures that have other calls than the rest.
    #[test]
    fn all_are_system_calls() {
        for entry in TABLE {
            let known = [Arch::X86_64, Arch::X86].iter().any(|arch| number_of(entry.name, *arch).is_some());
            assert!(known, "{}", entry.name);
        }
    }

    #[test]
    fn none_is_there_twice() {
        let mut names: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
