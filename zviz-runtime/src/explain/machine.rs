//! What the machine knows of a running sandbox, looked at from outside. The sandbox goes on meanwhile: what is seen is as good
//! as the moment, and only words come of it.

use crate::plan::cgroup::Cgroup;
use crate::why::Outside;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};
use std::cell::OnceCell;
use std::ffi::CString;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use zviz_observe::Intent;
use zviz_sys::{fd, path};

/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, linux/capability.h.
const PAST_MODES: u64 = 1 << 1 | 1 << 2;
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, linux/openat2.h.
const INSIDE: u64 = 0x10 | 0x02;
/// A listening socket in /proc/net/tcp: TCP_LISTEN, net/tcp_states.h.
const LISTENS: &str = "0A";

/// This machine, and one sandbox on it.
#[derive(Debug, Default)]
pub struct Machine {
    pids: Option<PathBuf>,
    // The first that was seen, which is the command's.
    mounts: OnceCell<PathBuf>,
}

impl Machine {
    /// `cgroup` as it was made.
    #[must_use]
    pub fn new(cgroup: &Cgroup) -> Machine {
        let payload = cgroup.payload();
        let in_v1 = payload.v1("pids").map(|group| group.dir());
        let folder = in_v1.or_else(|| payload.v2.as_ref().map(|group| group.dir()));
        Machine { pids: folder.map(|folder| folder.join("pids.events")), mounts: OnceCell::new() }
    }

    /// Notes where a process stands, if it is the first.
    pub(super) fn meet(&self, pid: i32) {
        if self.mounts.get().is_none()
            && let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/mnt"))
        {
            self.mounts.get_or_init(|| namespace);
        }
    }
}

impl Outside for Machine {
    fn host_has(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    fn host_writes(&self, path: &Path) -> bool {
        faccessat(nix::fcntl::AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok()
    }

    fn modes_allow(&self, pid: i32, path: &Path, intent: Intent) -> Option<bool> {
        let caller = Caller::of(pid)?;
        if caller.capabilities & PAST_MODES != 0 {
            return None;
        }
        let of_folder = matches!(intent, Intent::Create | Intent::Remove);
        let path = if of_folder { path.parent()? } else { path };
        let root =
            path::open(&text(Path::new(&format!("/proc/{pid}/root")))?, libc::O_PATH | libc::O_DIRECTORY).ok()?;
        let relative =
            text(path.strip_prefix("/").ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        let found = path::openat2(root.as_fd(), &relative, libc::O_PATH | libc::O_NOFOLLOW, 0, INSIDE).ok()?;
        let stat = fd::stat(&found).ok()?;
        let (read, write, execute) = (4, 2, 1);
        let wanted = match intent {
            Intent::Read | Intent::List => read,
            Intent::Write => write,
            Intent::ReadWrite => read | write,
            Intent::Execute | Intent::Enter => execute,
            Intent::Create | Intent::Remove => write | execute,
            Intent::Metadata | Intent::Change | Intent::Mount => return None,
        };
        let shift = match () {
            () if stat.st_uid == caller.uid => 6,
            () if caller.groups.contains(&stat.st_gid) => 3,
            () => 0,
        };
        // Lists of access may say otherwise for all but the owner: they are not looked at.
        Some(stat.st_mode >> shift & wanted == wanted)
    }

    fn sees_the_mounts(&self, pid: i32) -> Option<bool> {
        Some(fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()? == *self.mounts.get()?)
    }

    fn host_listens(&self, address: &SocketAddr) -> bool {
        let listens = |file: &str| fs::read_to_string(file).is_ok_and(|table| lists(&table, address));
        listens("/proc/net/tcp") || listens("/proc/net/tcp6")
    }

    fn pids_met(&self) -> Option<u64> {
        let text = fs::read_to_string(self.pids.as_ref()?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
    }
}

fn text(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

/// Who calls, in ids of the host: proc_pid_status(5).
struct Caller {
    uid: u32,
    groups: Vec<u32>,
    capabilities: u64,
}

impl Caller {
    fn of(pid: i32) -> Option<Caller> {
        let mut status = String::new();
        let file = File::open(format!("/proc/{pid}/status")).ok()?;
        std::io::Read::read_to_string(&mut std::io::Read::take(file, 1 << 16), &mut status).ok()?;
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let ids = |key: &str| {
            line(key).map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        };
        // Real, effective, saved, and that of files.
        let (uids, gids) = (ids("Uid")?, ids("Gid")?);
        let mut groups = ids("Groups").unwrap_or_default();
        groups.push(*gids.get(3)?);
        Some(Caller { uid: *uids.get(3)?, groups, capabilities: u64::from_str_radix(line("CapEff")?.trim(), 16).ok()? })
    }
}

/// Whether somebody listens at an address, by a table of proc_net_tcp: words of the machine's own byte order.
fn lists(table: &str, address: &SocketAddr) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        let Some((ip, port)) = local.and_then(|local| local.split_once(':')) else { return false };
        let same_port = u16::from_str_radix(port, 16) == Ok(address.port());
        let any = ip.bytes().all(|digit| digit == b'0');
        state == Some(LISTENS) && same_port && (any || parsed(ip) == Some(address.ip().to_canonical()))
    })
}

fn parsed(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
    let bytes: [u8; 16] = words.try_into().ok()?;
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 00000000\n   1: 00000000:0016 00000000:0000 0A\n   2: 0100007F:1F91 0100007F:0001 01\n";
        let at = |text: &str| lists(table, &text.parse().unwrap());
        assert!(at("127.0.0.1:8080") && at("127.0.0.1:22") && !at("127.0.0.2:8080") && !at("127.0.0.1:8081"));
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Machine::default().host_listens(&own.local_addr().unwrap()));
    }

    #[test]
    fn modes_are_judged_as_the_kernel_would() {
        use std::os::unix::fs::PermissionsExt;
        let me = i32::try_from(std::process::id()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o400)).unwrap();
        let allow = |intent| Machine::default().modes_allow(me, file.path(), intent);
        if nix::unistd::geteuid().is_root() {
            assert_eq!(allow(Intent::Write), None);
        } else {
            assert_eq!((allow(Intent::Read), allow(Intent::Write)), (Some(true), Some(false)));
        }
        assert_eq!(Machine::default().modes_allow(me, Path::new("/not/there"), Intent::Read), None);
    }
}
