//! What the root of a sandbox is filled with.

use super::facts::{Facts, RootEntry};
use super::paths;
use super::{Network, Sandbox, Tmpfs};

/// One thing in the root, at an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub inside: String,
    /// The flag it comes from, for messages; a word for what is always there.
    pub origin: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A part of the host. `own`: it belongs to the caller or an image, so its owners must be seen inside as they are.
    /// The system's own folders are not translated: root inside then reads what everyone may read, no more.
    Bind { source: String, writable: bool, own: bool },
    /// An empty folder in memory.
    Memory { mode: u32, size: u64, executable: bool, owner: Option<(u32, u32)> },
    /// A symbolic link.
    Link { target: String },
    /// /proc, /dev/pts, /dev/mqueue, and /dev itself.
    Kernel(Kernel),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Proc,
    Dev,
    Devpts,
    Mqueue,
    Sys,
    Cgroup,
}

/// Where the folder comes from that the caller stands in.
pub const CURRENT: &str = "the current folder";

/// The folders of a host that hold programs and what they read; those that exist are shared read-only.
pub const SYSTEM: &[&str] = &["bin", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"];

/// What a sandbox always has of its own, whatever `--rootfs` holds.
pub const OWN: &[&str] = &["dev", "home", "lost+found", "media", "mnt", "proc", "root", "run", "sys", "tmp"];

/// Sizes in bytes. Memory that nobody writes to costs nothing; the caps keep a sandbox without a memory limit from
/// filling the machine's.
pub const TMP_SIZE: u64 = 2 << 30;
/// Of the private home folder.
pub const HOME_SIZE: u64 = 2 << 30;
/// Of /dev/shm.
pub const SHM_SIZE: u64 = 1 << 30;
/// Of /run.
pub const RUN_SIZE: u64 = 64 << 20;
/// Of a `--tmpfs` that names none.
pub const TMPFS_SIZE: u64 = 1 << 30;
/// One inode for so many bytes of a folder in memory: each takes about a kilobyte that `size` does not count.
const BYTES_PER_INODE: u64 = 8 << 10;

/// The options of a tmpfs, as mount(8) writes them.
pub(super) fn memory_options(mode: u32, size: u64, executable: bool, owner: Option<(u32, u32)>) -> Vec<String> {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    if !executable {
        options.push("noexec".to_owned());
    }
    options.push(format!("mode={mode:o}"));
    options.push(format!("size={size}"));
    options.push(format!("nr_inodes={}", (size / BYTES_PER_INODE).max(1024)));
    if let Some((uid, gid)) = owner {
        options.push(format!("uid={uid}"));
        options.push(format!("gid={gid}"));
    }
    options
}

/// What every sandbox has, before anything that was asked for. With sandboxes inside, `nested`, also /sys and cgroup v2, read-only:
/// the kernel gives nobody a sysfs who sees none, and runtimes look for both.
pub(super) fn base(facts: &Facts, nested: Option<Network>, has_system: &dyn Fn(&str) -> bool) -> Vec<Entry> {
    let mut entries = root(facts, has_system);
    let memory = |mode, size, executable| What::Memory { mode, size, executable, owner: None };
    let link = |target: &str| What::Link { target: target.to_owned() };
    let own = [
        ("/proc", What::Kernel(Kernel::Proc)),
        ("/dev", What::Kernel(Kernel::Dev)),
        ("/dev/pts", What::Kernel(Kernel::Devpts)),
        ("/dev/shm", memory(0o1777, SHM_SIZE, false)),
        ("/dev/mqueue", What::Kernel(Kernel::Mqueue)),
        ("/tmp", memory(0o1777, TMP_SIZE, true)),
        ("/run", memory(0o755, RUN_SIZE, false)),
        ("/var/tmp", memory(0o1777, TMP_SIZE, true)),
        ("/var/run", link("../run")),
        ("/var/lock", link("../run/lock")),
    ];
    let image_has_var = entries.iter().any(|entry| entry.inside == "/var");
    for (inside, what) in own {
        // The image is read-only: what it does not have below /var cannot be made there.
        let absent = inside != "/var/tmp" || !facts.root.contains_key("var/tmp");
        if image_has_var && paths::within(inside, "/var") && absent {
            continue;
        }
        entries.push(Entry { inside: inside.to_owned(), origin: "the sandbox".to_owned(), what });
    }
    if let Some(network) = nested {
        let sys = match network {
            // Of another's network namespace there is none to be had.
            Network::Host => What::Bind { source: "/sys".to_owned(), writable: false, own: false },
            _ => What::Kernel(Kernel::Sys),
        };
        for (inside, what) in [("/sys", sys), ("/sys/fs/cgroup", What::Kernel(Kernel::Cgroup))] {
            entries.push(Entry { inside: inside.to_owned(), origin: "the sandbox".to_owned(), what });
        }
    }
    if let Some(file) = &facts.resolver {
        let what = What::Bind { source: file.clone(), writable: false, own: false };
        entries.push(Entry { inside: file.clone(), origin: "the resolver's file".to_owned(), what });
    }
    entries
}

/// The host's system folders, or everything of `--rootfs` that the sandbox does not have of its own.
fn root(facts: &Facts, has_system: &dyn Fn(&str) -> bool) -> Vec<Entry> {
    let base = match &facts.rootfs {
        Some(Ok(path)) => path.as_str(),
        Some(Err(_)) => return Vec::new(),
        None => "",
    };
    let image = facts.rootfs.is_some();
    let wanted = |name: &str| match image {
        true => !OWN.contains(&name) && !name.contains('/'),
        false => SYSTEM.contains(&name) && has_system(name),
    };
    let found = facts.root.iter().filter(|(name, _)| wanted(name));
    let entry = |(name, entry): (&String, &RootEntry)| Entry {
        inside: format!("/{name}"),
        origin: "the system".to_owned(),
        what: match entry {
            RootEntry::Link(target) => What::Link { target: target.clone() },
            RootEntry::Folder | RootEntry::File => {
                What::Bind { source: format!("{base}/{name}"), writable: false, own: image }
            }
        },
    };
    found.map(entry).collect()
}

/// A `--tmpfs`.
pub(super) fn tmpfs(asked: &Tmpfs, owner: (u32, u32)) -> Result<Entry, String> {
    let inside = paths::inside(&asked.inside)?;
    if let Some(why) = super::shares::refused(&inside, true) {
        return Err(why);
    }
    // /tmp stays the folder for everyone that programs expect.
    let mode = if matches!(inside.as_str(), "/tmp" | "/var/tmp") { 0o1777 } else { 0o755 };
    let size = asked.size.unwrap_or(TMPFS_SIZE);
    let what = What::Memory { mode, size, executable: true, owner: Some(owner) };
    Ok(Entry { origin: format!("--tmpfs {inside}"), inside, what })
}

/// Where the home folder is inside, and the entry that makes it. A home that is no folder of its own (`/`, or one of
/// the system's that does not exist) becomes /tmp.
pub(super) fn home(facts: &Facts, shared: &[Entry], owner: (u32, u32)) -> (String, Option<Entry>) {
    let Some(home) = &facts.home else { return ("/tmp".to_owned(), None) };
    let path = &home.path;
    let in_system =
        base(facts, None, &|_| true).iter().any(|entry| paths::within(path, &entry.inside) && entry.inside != "/tmp");
    let usable = !in_system || home.exists && facts.rootfs.is_none() && !kernel_owned(path);
    if path == "/" || !usable || paths::inside(path).as_deref() != Ok(path) {
        return ("/tmp".to_owned(), None);
    }
    if shared.iter().any(|entry| paths::within(path, &entry.inside)) {
        return (path.clone(), None);
    }
    let what = What::Memory { mode: 0o700, size: HOME_SIZE, executable: true, owner: Some(owner) };
    (path.clone(), Some(Entry { inside: path.clone(), origin: "the home folder".to_owned(), what }))
}

fn kernel_owned(path: &str) -> bool {
    ["/proc", "/sys", "/dev"].iter().any(|own| paths::within(path, own))
}

/// Whether a folder of the caller may be shared without being asked for, since it is where the caller stands.
pub(super) enum Workspace {
    /// It may.
    Shared,
    /// It may not, but is seen inside.
    Seen,
    /// It may not, and is not seen.
    Unseen,
}

/// Whether the folder that a caller stands in is shared, without a word of its own and with the host's root.
#[must_use]
pub fn is_shared(cwd: &str) -> bool {
    matches!(workspace(cwd, &Sandbox::default()), Workspace::Shared)
}

/// A folder that holds the whole system, or other people's things, is not a place of work.
pub(super) fn workspace(cwd: &str, sandbox: &Sandbox) -> Workspace {
    let image = sandbox.rootfs.is_some();
    if cwd == "/" || matches!(cwd, "/tmp" | "/var/tmp") {
        return Workspace::Seen;
    }
    if matches!(cwd, "/home" | "/media" | "/mnt" | "/opt" | "/srv" | "/var") {
        return if cwd == "/opt" && !image { Workspace::Seen } else { Workspace::Unseen };
    }
    if ["/boot", "/dev", "/proc", "/run", "/sys"].iter().any(|own| paths::within(cwd, own)) {
        return Workspace::Unseen;
    }
    let system = |name: &&&str| **name != "opt" && paths::within(cwd, &format!("/{name}"));
    match SYSTEM.iter().find(system) {
        Some(_) if !image => Workspace::Seen,
        Some(_) => Workspace::Unseen,
        None => Workspace::Shared,
    }
}
