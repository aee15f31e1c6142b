//! Looks at the machine for [`examine`](super::examine). Not on the way to a start: it may take its time.

use super::trial::{self, Refused};
use crate::apply::{ids, namespaces};
use crate::host::Host;
use crate::host::cgroup::{self, CgroupHost};
use crate::network::helper;
use crate::plan::IdMap;
use crate::sandbox::facts::Limits;
use crate::sandbox::{enforceable, subids};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};
use zviz_sys::{fd, mount, path, process};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The facts that every plan rests on.
    pub host: Host,
    /// The kernel's release, whole.
    pub release: String,
    /// The caller's name, or number.
    pub user: String,
    /// Small files, by path: those of [`SETTINGS`] that can be read, trimmed.
    pub settings: BTreeMap<&'static str, String>,
    /// Whether the namespaces of a sandbox can be made, and used.
    pub namespaces: Result<(), Refused>,
    /// newuidmap(1) and newgidmap(1): where, and whether they have the privilege they need.
    pub id_helpers: Vec<(&'static str, Option<(PathBuf, bool)>)>,
    /// By path: whether ids of what is there can be translated. Only root can try.
    pub idmapped: Vec<(String, Result<(), String>)>,
    /// System calls that the kernel does not have.
    pub absent_calls: Vec<&'static str>,
    /// The control groups.
    pub cgroups: CgroupHost,
    /// What this caller can limit.
    pub limits: Limits,
    /// Of [`PROGRAMS`], those that are installed.
    pub programs: Vec<&'static str>,
    /// Of [`DEVICES`], those that the caller may open.
    pub devices: Vec<&'static str>,
    /// Whether nf_tables can be talked to.
    pub netfilter: Result<(), String>,
    /// Whether the network helper is installed, and trusted.
    pub helper: Result<(), String>,
    /// Chains of others that drop what is forwarded, as `table/chain`: those that the caller can see.
    pub forward_drops: Vec<String>,
    /// Whether a whole `zviz run -- true` worked, where the caller tried it; else its last words.
    pub run: Option<Result<(), String>>,
    /// The same without namespaces (`--backend landlock`), where it did not work with them.
    pub without_namespaces: Option<Result<(), String>>,
    /// This program, to be named in remedies.
    pub zviz: PathBuf,
}

/// Settings that are looked at.
pub const SETTINGS: &[&str] = &[
    MAX_USER_NAMESPACES,
    UNPRIVILEGED_USERNS,
    APPARMOR_USERNS,
    SECCOMP_ACTIONS,
    LSM,
    SELINUX_ENFORCE,
    FILESYSTEMS,
    "/proc/sys/kernel/yama/ptrace_scope",
];
/// How many user namespaces may be made.
pub const MAX_USER_NAMESPACES: &str = "/proc/sys/user/max_user_namespaces";
/// Debian's switch: 0 keeps them from ordinary users.
pub const UNPRIVILEGED_USERNS: &str = "/proc/sys/kernel/unprivileged_userns_clone";
/// Ubuntu's switch: 1 lets programs without an AppArmor profile make them, and do nothing in them.
pub const APPARMOR_USERNS: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
/// What filters may answer.
pub const SECCOMP_ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";
/// Security modules in force.
pub const LSM: &str = "/sys/kernel/security/lsm";
/// 1 where SELinux enforces.
pub const SELINUX_ENFORCE: &str = "/sys/fs/selinux/enforce";
/// File systems that are built in or loaded.
pub const FILESYSTEMS: &str = "/proc/filesystems";

/// Programs that are looked for.
pub const PROGRAMS: &[&str] = &["docker", "podman", "containerd", "ctr", "crictl", "nft", "pasta"];
/// Devices that are looked for.
pub const DEVICES: &[&str] = &["/dev/fuse", "/dev/net/tun"];

/// Looks.
///
/// # Errors
/// If /proc is not there.
pub fn probe() -> io::Result<Seen> {
    let host = Host::probe()?;
    let cgroups = cgroup::probe()?;
    let read = |path: &&'static str| Some((*path, fs::read_to_string(path).ok()?.trim().to_owned()));
    let opens = |path: &&'static str| fs::OpenOptions::new().read(true).write(true).open(path).is_ok();
    Ok(Seen {
        release: nix::sys::utsname::uname()?.release().to_string_lossy().into_owned(),
        user: user(host.euid),
        settings: SETTINGS.iter().filter_map(read).collect(),
        namespaces: trial::namespaces(host.euid, host.egid),
        id_helpers: ["newuidmap", "newgidmap"].map(|name| (name, helper(name))).into(),
        idmapped: if host.rootless || host.user_namespace { Vec::new() } else { idmapped() },
        absent_calls: absent_calls(),
        limits: enforceable::limits(&host, &cgroups),
        cgroups,
        programs: PROGRAMS.iter().copied().filter(|name| installed(name).is_some()).collect(),
        devices: DEVICES.iter().copied().filter(|path| opens(path)).collect(),
        netfilter: netfilter(),
        helper: helper::find().map(drop).map_err(|error| error.to_string()),
        forward_drops: crate::network::host::forward_drops().unwrap_or_default(),
        run: None,
        without_namespaces: None,
        // A sealed copy has no path that could be given to anyone.
        zviz: std::env::current_exe().ok().filter(|path| path.is_file()).unwrap_or_else(|| "zviz".into()),
        host,
    })
}

fn user(uid: u32) -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| uid.to_string())
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin:/sbin:/bin"));
    let standard = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(standard).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A set-user-ID bit, or capabilities of the file: that it has some, not which.
fn helper(name: &str) -> Option<(PathBuf, bool)> {
    let path = installed(name)?;
    let set_user_id =
        fs::metadata(&path).is_ok_and(|metadata| metadata.mode() & libc::S_ISUID != 0 && metadata.uid() == 0);
    let privileged = set_user_id || has_file_capabilities(&path);
    Some((path, privileged))
}

fn has_file_capabilities(path: &Path) -> bool {
    let path = CString::new(path.as_os_str().as_bytes());
    path.is_ok_and(|path| path::has_attribute(&path, c"security.capability"))
}

/// Only calls that the kernel answers with "no such call" count: some need rights that we do not have.
fn absent_calls() -> Vec<&'static str> {
    let own = process::pidfd_open(i32::try_from(std::process::id()).unwrap_or(0));
    let root = path::open_path(c"/", libc::O_DIRECTORY);
    let attributes = mount::MountAttr::default();
    let tried: [(&str, Option<Errno>); 6] = [
        ("pidfd_open", own.as_ref().err().copied()),
        ("pidfd_getfd", own.as_ref().ok().and_then(|own| fd::pidfd_getfd(own.as_fd(), 0).err())),
        ("openat2", root.as_ref().ok().and_then(|root| path::openat2(root.as_fd(), c".", libc::O_PATH, 0, 0).err())),
        ("close_range", fd::cloexec_from(1 << 30).err()),
        (
            "mount_setattr",
            root.as_ref().ok().and_then(|root| mount::set_attributes(root.as_fd(), false, &attributes).err()),
        ),
        ("open_tree", mount::clone_tree_at(c"/", false, false).err()),
    ];
    tried.iter().filter(|(_, errno)| *errno == Some(Errno::ENOSYS)).map(|(name, _)| *name).collect()
}

/// For the root and the current folder: a detached copy of the mount is translated, and dropped.
fn idmapped() -> Vec<(String, Result<(), String>)> {
    let here = std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned));
    let mut paths: Vec<String> = vec!["/".to_owned()];
    paths.extend(here.filter(|here| here != "/"));
    paths.into_iter().map(|path| (path.clone(), idmap(&path))).collect()
}

fn idmap(path: &str) -> Result<(), String> {
    let map = vec![IdMap { inside: 0, outside: subids::FIRST, count: 1 }];
    let proc = namespaces::open_proc().map_err(|error| error.to_string())?;
    let userns = ids::user_namespace_with(proc.as_fd(), &map, &map).map_err(|error| error.to_string())?;
    let path = CString::new(path).map_err(|error| error.to_string())?;
    let words = |errno: Errno| errno.desc().to_lowercase();
    let tree = mount::clone_tree_at(&path, false, false).map_err(words)?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&userns);
    let userns_fd = u64::try_from(raw).map_err(|error| error.to_string())?;
    let attributes = mount::MountAttr { set: mount::attr::IDMAP, userns_fd, ..mount::MountAttr::default() };
    mount::set_attributes(tree.as_fd(), false, &attributes).map_err(words)
}

fn netfilter() -> Result<(), String> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)
        .map(drop)
        .map_err(|errno| errno.desc().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let seen = probe().unwrap();
        assert!(!seen.release.is_empty());
        assert!(seen.settings.contains_key(FILESYSTEMS));
        let report = super::super::examine(&seen);
        assert!(report.to_string().contains("A  containment"));
    }
}
