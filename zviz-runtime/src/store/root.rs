//! The root directory: where it is by default, and whether it can be trusted.

use super::{DIRECTORY, Error, Store};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstat, fstatat, stat};
use nix::unistd::geteuid;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A root directory, and how far its place is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Named by the user, who answers for it.
    Given(PathBuf),
    /// /run/zviz, or below $XDG_RUNTIME_DIR: only we may write there.
    Runtime(PathBuf),
    /// Below /tmp, where anybody may have made it first: it must be a directory of ours that nobody else may enter.
    Shared(PathBuf),
}

impl Root {
    /// Where state goes if the user does not say: /run/zviz as root, else $XDG_RUNTIME_DIR/zviz, else /tmp/zviz-UID.
    /// Root inside a user namespace counts as an ordinary user, unless $USER says root, as with runc.
    pub fn default_for(uid: u32, in_user_namespace: bool, runtime_dir: Option<PathBuf>, user: Option<&str>) -> Self {
        let rootful = uid == 0 && (!in_user_namespace || user == Some("root"));
        match runtime_dir.filter(|dir| !rootful && dir.is_absolute()) {
            Some(dir) => Self::Runtime(dir.join("zviz")),
            None if uid == 0 => Self::Runtime(PathBuf::from("/run/zviz")),
            None => Self::Shared(PathBuf::from(format!("/tmp/zviz-{uid}"))),
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Runtime(path) | Self::Shared(path) => path,
        }
    }

    fn flags(&self) -> OFlag {
        match self {
            // A user may well name a link. /var/run is one, but not at the end.
            Self::Given(_) => DIRECTORY.difference(OFlag::O_NOFOLLOW),
            Self::Runtime(_) | Self::Shared(_) => DIRECTORY,
        }
    }

    fn mode(&self) -> u32 {
        match self {
            Self::Given(_) | Self::Shared(_) => 0o700,
            // The sticky bit keeps it from being cleared away as old (XDG Base Directory Specification).
            Self::Runtime(_) => 0o1700,
        }
    }
}

impl Store {
    /// Opens the root; makes it if it is not there.
    ///
    /// # Errors
    /// `Root` if it cannot be made or opened, `Untrusted` if it is not ours.
    pub fn open(root: &Root) -> Result<Self, Error> {
        if let Some(store) = Self::existing(root)? {
            return Ok(store);
        }
        let path = root.path();
        std::fs::DirBuilder::new().recursive(true).mode(root.mode()).create(path).map_err(|source| Error::Root {
            path: path.into(),
            what: "make the directory",
            source,
        })?;
        Self::existing(root)?.ok_or_else(|| Error::Root {
            path: path.into(),
            what: "open",
            source: Errno::ENOENT.into(),
        })
    }

    /// Opens the root; none if it is not there, where nothing can be remembered.
    ///
    /// # Errors
    /// `Root` if it cannot be opened, `Untrusted` if it is not ours.
    pub fn existing(root: &Root) -> Result<Option<Self>, Error> {
        let path = root.path();
        let fd = match open(path, root.flags(), Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::Root { path: path.into(), what: "open", source: errno.into() }),
        };
        match root {
            Root::Given(_) => {}
            Root::Shared(_) => trust(&fd, path, 0o077)?,
            Root::Runtime(_) => {
                trust(&fd, path, 0o022)?;
                holds(&fd, path)?;
            }
        }
        Ok(Some(Self { root: Arc::new(fd), path: path.into() }))
    }
}

/// The root is ours, and nobody else may do there what these bits stand for.
fn trust(fd: &OwnedFd, path: &Path, others: u32) -> Result<(), Error> {
    let stat = fstat(fd).map_err(stat_of(path))?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(Error::Untrusted { path: path.into(), what: "belongs to another user" });
    }
    if stat.st_mode & others != 0 {
        return Err(Error::Untrusted { path: path.into(), what: "others have access to it" });
    }
    Ok(())
}

/// Nobody else can put another folder in the place of the root: $XDG_RUNTIME_DIR is what somebody has set, and below /tmp it may be
/// of whoever was there first.
fn holds(root: &OwnedFd, path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    let found = fstatat(root, "..", AtFlags::AT_SYMLINK_NOFOLLOW).map_err(stat_of(parent))?;
    // In a user namespace, root's files may be nobody's: those of who owns /.
    let system = stat("/").map_err(stat_of(Path::new("/")))?.st_uid;
    let untrusted = |what| Err(Error::Untrusted { path: parent.into(), what });
    if ![geteuid().as_raw(), 0, system].contains(&found.st_uid) {
        return untrusted("belongs to another user");
    }
    // As in /tmp, who has made something there keeps it.
    let keeps = Mode::from_bits_truncate(found.st_mode).contains(Mode::S_ISVTX);
    if found.st_mode & 0o022 != 0 && !keeps { untrusted("others may write to it") } else { Ok(()) }
}

fn stat_of(path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| Error::Root { path: path.into(), what: "stat", source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_for(uid: u32, userns: bool, dir: Option<&str>, user: Option<&str>) -> Root {
        Root::default_for(uid, userns, dir.map(PathBuf::from), user)
    }

    #[test]
    fn defaults() {
        let run = |path: &str| Root::Runtime(PathBuf::from(path));
        assert_eq!(default_for(0, false, Some("/run/user/0"), None), run("/run/zviz"));
        assert_eq!(default_for(0, true, Some("/run/user/1000"), Some("me")), run("/run/user/1000/zviz"));
        assert_eq!(default_for(0, true, Some("/run/user/1000"), Some("root")), run("/run/zviz"));
        assert_eq!(default_for(0, true, None, None), run("/run/zviz"));
        assert_eq!(default_for(1000, false, Some("/run/user/1000"), None), run("/run/user/1000/zviz"));
        assert_eq!(default_for(1000, false, None, None), Root::Shared("/tmp/zviz-1000".into()));
        assert_eq!(default_for(1000, false, Some("relative"), None), Root::Shared("/tmp/zviz-1000".into()));
    }

    #[test]
    fn a_shared_root_must_be_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zviz-0");
        Store::open(&Root::Shared(path.clone())).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(Store::open(&Root::Shared(path.clone())), Err(Error::Untrusted { .. })));
        Store::open(&Root::Given(path.clone())).unwrap();

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Store::open(&Root::Shared(link.clone())), Err(Error::Root { .. })));
        Store::open(&Root::Given(link)).unwrap();
    }

    #[test]
    fn nobody_else_can_have_made_a_runtime_root() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (parent, path) = (dir.path().join("run"), dir.path().join("run/zviz"));
        let opens = |parent_mode: u32, mode: u32| {
            std::fs::DirBuilder::new().recursive(true).create(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            std::fs::set_permissions(&parent, PermissionsExt::from_mode(parent_mode)).unwrap();
            match Store::open(&Root::Runtime(path.clone())) {
                Ok(_) => String::new(),
                Err(error) => error.to_string().replace(&dir.path().to_string_lossy().into_owned(), ""),
            }
        };
        for (parent, own) in [(0o700, 0o1700), (0o755, 0o755), (0o1777, 0o700)] {
            assert_eq!(opens(parent, own), "", "{parent:o} {own:o}");
        }
        assert!(opens(0o700, 0o777).contains("/run/zviz: others have access to it"), "{}", opens(0o700, 0o777));
        assert!(opens(0o777, 0o700).contains("/run: others may write to it"), "{}", opens(0o777, 0o700));
        if geteuid().is_root() {
            std::os::unix::fs::chown(&parent, Some(4711), None).unwrap();
            assert!(opens(0o755, 0o700).contains("/run: belongs to another user"), "{}", opens(0o755, 0o700));
            std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
            assert!(opens(0o755, 0o700).contains("/run/zviz: belongs to another user"), "{}", opens(0o755, 0o700));
        }
    }

    #[test]
    fn looking_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(Store::existing(&Root::Given(path.clone())).unwrap().is_none());
        assert!(!path.exists());
        Store::open(&Root::Given(path.clone())).unwrap();
        assert!(path.is_dir());
    }
}
