//! What has to be undone of a container's network: remembered before it is made.

use crate::container::Id;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::CString;
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use zviz_network::rules::TABLE_PREFIX;
use zviz_sys::{fd, path};

/// What does not go with the container's namespace, and where its rules are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its own table, in its network namespace.
    pub table: String,
    /// That namespace, where it outlives the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// Its address at the bridge, after which what it has there is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Ipv4Addr>,
    /// Tables in the host's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Devices in the host's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

impl Made {
    /// Whether anything of it outlives the container.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.joined.is_some() || self.lease.is_some() || !self.tables.is_empty() || !self.links.is_empty()
    }
}

/// A network namespace that was there before, and is there after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    path: String,
    device: u64,
    inode: u64,
}

impl Joined {
    /// The one that is open, and was opened by this path.
    ///
    /// # Errors
    /// None that a descriptor could give that is open.
    pub fn of(path: &str, namespace: BorrowedFd<'_>) -> Result<Joined, Errno> {
        let found = fd::stat(namespace)?;
        Ok(Joined { path: path.to_owned(), device: found.st_dev, inode: found.st_ino })
    }

    /// Opens it, if it is what its path leads to still.
    #[must_use]
    pub fn open(&self) -> Option<OwnedFd> {
        let path = CString::new(self.path.as_str()).ok()?;
        let namespace = path::open(&path, libc::O_RDONLY | libc::O_CLOEXEC).ok()?;
        let found = fd::stat(&namespace).ok()?;
        ((found.st_dev, found.st_ino) == (self.device, self.inode)).then_some(namespace)
    }
}

/// The name of a container's table: no other container of this host has it, of whatever store.
pub(super) fn table(store: &Path, id: &Id) -> String {
    let mut hash = Sha256::new();
    hash.update(store.as_os_str().as_bytes());
    hash.update([0]);
    hash.update(id.as_str());
    let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{TABLE_PREFIX}{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_table_is_one_containers() {
        let name = |store: &str, id: &str| table(Path::new(store), &Id::new(id).unwrap());
        let one = name("/run/zviz", "web");
        assert!(one.starts_with(TABLE_PREFIX) && one.len() == TABLE_PREFIX.len() + 16, "{one}");
        assert_eq!(one, name("/run/zviz", "web"));
        assert_ne!(one, name("/run/zviz", "db"));
        assert_ne!(one, name("/run/user/1000/zviz", "web"));
    }

    #[test]
    fn a_path_that_leads_elsewhere_by_now_is_left_alone() {
        let own = path::open(c"/proc/self/ns/net", libc::O_RDONLY).unwrap();
        let joined = Joined::of("/proc/self/ns/net", own.as_fd()).unwrap();
        assert!(joined.open().is_some());
        assert!(Joined { inode: joined.inode + 1, ..joined.clone() }.open().is_none());
        assert!(Joined { path: "/nowhere".into(), ..joined }.open().is_none());
    }
}
