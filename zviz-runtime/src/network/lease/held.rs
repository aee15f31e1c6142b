//! One address, and whose it is.

use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Far more than an id and a path take.
const LONGEST: u64 = 16 << 10;

/// Whose an address is: for who looks at what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The sandbox.
    pub id: String,
    /// Its store.
    pub store: PathBuf,
    /// The process that runs it.
    pub pid: u32,
}

/// An address, ours until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) six: Ipv6Addr,
    pub(super) left_by: Option<Holder>,
    pub(super) left: bool,
    pub(super) kept: bool,
    pub(super) folder: Arc<OwnedFd>,
    pub(super) file: File,
}

impl Lease {
    /// The IPv4 address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The IPv6 address.
    #[must_use]
    pub fn six(&self) -> Ipv6Addr {
        self.six
    }

    /// Whether another had it who did not give it back, so that devices and rules of its name may be there.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.left
    }

    /// Who that was, as far as it can be read.
    #[must_use]
    pub fn left_by(&self) -> Option<&Holder> {
        self.left_by.as_ref()
    }

    /// Leaves the file where it is when this is dropped: what bears its name could not be taken away, and whoever comes next
    /// is to know.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    pub(super) fn write(&mut self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.file.set_len(0)?;
        io::Seek::rewind(&mut self.file)?;
        self.file.write_all(&text)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.kept {
            // Under the lock, so that who waits for it sees a file without a name and looks again.
            let _ = unlinkat(&*self.folder, self.address.to_string().as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

pub(super) fn read(file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
