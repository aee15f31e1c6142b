//! What a stage would change, as a plain value.

use nix::sys::stat::{FileStat, SFlag};
use serde::{Deserialize, Serialize};

/// One change of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Below the folder, as bytes: a workload's names are any.
    pub path: Vec<u8>,
    /// What was done.
    pub did: Did,
    /// What it is in the stage; of a deletion, what it is on the host.
    pub kind: Kind,
    /// Permission bits in the stage, set-id bits among them; of a deletion, on the host.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    /// What is there on the host.
    pub host: Option<Stamp>,
    /// Where a link points to.
    pub target: Option<Vec<u8>>,
    /// The kernel copied it from the host's folder at its first change.
    pub copied: bool,
    /// A folder that the stage has forbidden its owner to look into: nothing in it is a change.
    pub closed: bool,
}

/// What was done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Did {
    /// It is new.
    Made,
    /// Its content, or where a link points to, and perhaps permissions.
    Changed,
    /// Its permissions alone.
    Permissions,
    /// It is of another kind.
    Replaced,
    /// It is gone.
    Deleted,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
}

impl Kind {
    /// Of a file's mode.
    pub(crate) fn of(stat: &FileStat) -> Kind {
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Folder,
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFIFO => Kind::Fifo,
            SFlag::S_IFSOCK => Kind::Socket,
            _ => Kind::Device,
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Link => "link",
            Kind::Fifo => "FIFO",
            Kind::Socket => "socket",
            Kind::Device => "device",
        }
    }
}

/// Which file it is, and in which state: every change of content, permissions, owner or name gives another change time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Device and inode.
    pub file: (u64, u64),
    /// Seconds and nanoseconds of the last change of anything. inode(7), ctime.
    pub changed: (i64, i64),
    /// Kind and permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
}

impl Stamp {
    /// Of a file.
    pub(crate) fn of(stat: &FileStat) -> Stamp {
        Stamp {
            file: (stat.st_dev, stat.st_ino),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }

    /// Whether it is the same file, its name aside: a rename alone changes the time.
    pub(crate) fn same_file(&self, stat: &FileStat) -> bool {
        self.file == (stat.st_dev, stat.st_ino)
    }
}

impl Change {
    /// Whether `path` is it or holds it.
    pub fn is_within(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self.path == path
            || self.path.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The permission bits without the set-id and sticky ones.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o777
    }
}

impl Stamp {
    /// Whether it is a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}
