//! What the host offers of control groups: which hierarchies, where, and whether we may use them. cgroups(7).

pub mod limits;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, faccessat};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where every distribution mounts them, and where programs inside a container look for them.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Which hierarchies there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Only the unified hierarchy, at [`ROOT`].
    V2,
    /// Controllers in hierarchies of version 1, and a unified one beside them.
    Hybrid,
    /// Only hierarchies of version 1.
    V1,
    /// None is mounted.
    None,
}

/// The unified hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of our own cgroup.
    pub own: PathBuf,
    /// `cgroup.controllers` at the mount: what may be enabled below it.
    pub controllers: Vec<String>,
    /// Whether a cgroup may be made where a container goes by default: below the parent of our own on a host with only
    /// this hierarchy, since a cgroup with processes (ours) cannot have children with controllers; else below the mount.
    pub writable: bool,
}

/// A hierarchy of version 1, with one or several controllers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// `memory`; `cpu` and `cpuacct`; `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of our own cgroup.
    pub own: PathBuf,
    /// Whether a cgroup may be made below our own.
    pub writable: bool,
}

/// The control groups of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupHost {
    /// Which hierarchies there are.
    pub mode: Mode,
    /// The unified one.
    pub v2: Option<Unified>,
    /// Those of version 1, in the order in which they are mounted.
    pub v1: Vec<Hierarchy>,
    /// Whether systemd is pid 1, as sd_booted(3) tells.
    pub systemd: bool,
}

impl Default for CgroupHost {
    fn default() -> Self {
        Self::none()
    }
}

impl CgroupHost {
    /// A host without any.
    pub fn none() -> Self {
        Self { mode: Mode::None, v2: None, v1: Vec::new(), systemd: false }
    }
}

/// Looks. Where `/sys/fs/cgroup` is a cgroup2 file system (whatever is mounted beneath it), that is all there is;
/// else every cgroup mount of mountinfo counts that is still reached by its path.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn probe() -> io::Result<CgroupHost> {
    let own = read("/proc/self/cgroup")?;
    let systemd = fs::symlink_metadata("/run/systemd/system").is_ok_and(|m| m.is_dir());
    if statfs(ROOT).is_ok_and(|s| s.filesystem_type() == CGROUP2_SUPER_MAGIC) {
        let unified = unified(PathBuf::from(ROOT), "/", own_path(&own, "").unwrap_or("/"), true);
        return Ok(CgroupHost { mode: Mode::V2, v2: Some(unified), v1: Vec::new(), systemd });
    }
    let mut host = CgroupHost { systemd, ..CgroupHost::none() };
    for mount in parse_mounts(&read("/proc/self/mountinfo")?) {
        if !reached(&mount) {
            continue;
        }
        if mount.v2 {
            // A second one (a container engine's own) adds nothing.
            if host.v2.is_none() {
                let own = own_path(&own, "").unwrap_or("/");
                host.v2 = Some(unified(mount.point, &mount.root, own, false));
            }
        } else if let Some(path) = mount.controllers.first().and_then(|c| own_path(&own, c))
            && !host.v1.iter().any(|h| h.controllers == mount.controllers)
        {
            let own = below(&mount.point, &mount.root, path);
            let writable = may_write(&own);
            host.v1.push(Hierarchy { controllers: mount.controllers, mount: mount.point, own, writable });
        }
    }
    host.mode = match (host.v1.is_empty(), host.v2.is_some()) {
        (false, true) => Mode::Hybrid,
        (false, false) => Mode::V1,
        (true, true) => Mode::V2,
        (true, false) => Mode::None,
    };
    Ok(host)
}

fn unified(mount: PathBuf, root: &str, path: &str, alone: bool) -> Unified {
    let own = below(&mount, root, path);
    let controllers = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    let writable = if alone && own != mount { own.parent().is_some_and(may_write) } else { may_write(&mount) };
    let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
    Unified { mount, own, controllers, writable }
}

/// faccessat(2), since eaccess(3) takes five calls for the same.
fn may_write(path: &Path) -> bool {
    faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok()
}

/// A file of /proc, whose length is not known before: read in few and large pieces.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(16 * 1024);
    fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The directory of the cgroup `path` in a hierarchy whose part `root` is mounted at `mount`. A path outside that part
/// (a container that sees the host's paths) has none: the mount itself is the nearest.
fn below(mount: &Path, root: &str, path: &str) -> PathBuf {
    match Path::new(path).strip_prefix(root) {
        Ok(rest) => mount.join(rest).components().collect(),
        Err(_) => mount.to_path_buf(),
    }
}

/// Our path in the hierarchy of a controller, from lines `4:memory:/user.slice`; the unified one is `0::/`.
fn own_path<'a>(lines: &'a str, controller: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|c| c == controller).then_some(path)
    })
}

#[derive(Debug, PartialEq)]
struct Mounted {
    device: (u32, u32),
    root: String,
    point: PathBuf,
    v2: bool,
    controllers: Vec<String>,
}

/// The cgroup mounts of a mountinfo. proc_pid_mountinfo(5).
fn parse_mounts(mountinfo: &str) -> Vec<Mounted> {
    mountinfo.lines().filter_map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Option<Mounted> {
    // Two substring searches leave out nearly every line of a busy host before any of it is taken apart.
    let (mount, filesystem) = line.split_once(" - cgroup")?;
    let v2 = filesystem.starts_with("2 ");
    let options = filesystem.rsplit(' ').next()?;
    let mut fields = mount.split(' ');
    let (major, minor) = fields.nth(2)?.split_once(':')?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let controllers = if v2 { Vec::new() } else { controllers(options) };
    (v2 || !controllers.is_empty()).then(|| Mounted {
        device: (major.parse().unwrap_or(0), minor.parse().unwrap_or(0)),
        root,
        point: point.into(),
        v2,
        controllers,
    })
}

/// The controllers among the options of a cgroup superblock.
fn controllers(options: &str) -> Vec<String> {
    const OTHERS: [&str; 8] =
        ["rw", "ro", "noprefix", "clone_children", "xattr", "cpuset_v2_mode", "favordynmods", "none"];
    let is_controller = |o: &&str| !OTHERS.contains(o) && !o.starts_with("release_agent=");
    options.split(',').filter(is_controller).map(str::to_owned).collect()
}

/// Undoes the octal escapes of mountinfo (`\040` for a space).
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'\\')
            .then(|| field.get(i + 1..i + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()))
            .flatten();
        out.push(code.unwrap_or(bytes[i]));
        i += if code.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the mount's path still leads to it, and not to something mounted over it.
fn reached(mount: &Mounted) -> bool {
    fs::symlink_metadata(&mount.point).is_ok_and(|metadata| {
        let device = metadata.st_dev();
        (nix::sys::stat::major(device) as u32, nix::sys::stat::minor(device) as u32) == mount.device
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_apart() {
        let mounts = parse_mounts(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 /x /sys/fs/my\\040cgroup rw - cgroup cgroup rw,xattr,release_agent=/a,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(mounts[1].controllers, ["name=systemd"]);
        assert_eq!((mounts[1].point.to_str(), mounts[1].root.as_str()), (Some("/sys/fs/my cgroup"), "/x"));
        assert!(mounts[2].v2);
        assert_eq!(mounts[2].device, (0, 38));
    }

    #[test]
    fn own_paths() {
        let lines = "4:memory:/a\n2:cpu,cpuacct:/b:c\n1:name=systemd:/d\n0::/e\n";
        assert_eq!(own_path(lines, "cpuacct"), Some("/b:c"));
        assert_eq!(own_path(lines, "name=systemd"), Some("/d"));
        assert_eq!(own_path(lines, ""), Some("/e"));
        assert_eq!(own_path(lines, "pids"), None);
    }

    #[test]
    fn own_path_outside_of_the_mounted_part() {
        assert_eq!(below(Path::new("/m"), "/docker/a", "/docker/a/b"), Path::new("/m/b"));
        assert_eq!(below(Path::new("/m"), "/docker/a", "/docker/b"), Path::new("/m"));
        assert_eq!(below(Path::new("/m"), "/", "/"), Path::new("/m"));
    }

    #[test]
    fn this_machine_answers() {
        let host = probe().unwrap();
        assert_eq!(host.v1.is_empty(), matches!(host.mode, Mode::V2 | Mode::None));
    }
}
