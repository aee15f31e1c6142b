//! The socket of an agent, by its name in the file system.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, fchmod};
use std::ffi::CString;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zviz_sys::{fd, path};

/// How long another agent may take to set itself up in the same folder.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be that of a socket.
    #[error("listen on {}: {why}", path.display())]
    Refused {
        /// As given.
        path: PathBuf,
        /// What is in the way.
        why: &'static str,
    },
    /// A system call.
    #[error("listen on {}", path.display())]
    Call {
        /// As given.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A name that goes when this does, unless it has become another's.
#[derive(Debug)]
pub(super) struct Place {
    /// Holds the folder, so that `path` stays what it was, however long the name is and whatever is renamed.
    _folder: File,
    path: PathBuf,
    /// What was made there: as long as this is open, nothing else has its number.
    file: OwnedFd,
}

impl Drop for Place {
    fn drop(&mut self) {
        let own = fd::stat(&self.file).map(|own| (own.st_dev, own.st_ino));
        if fs::symlink_metadata(&self.path).is_ok_and(|now| Ok((now.dev(), now.ino())) == own) {
            // Nobody is there to be told that it stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket, for its owner only. One that nobody listens on any more makes room.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, Place), Error> {
    let call = |source: io::Error| Error::Call { path: path.into(), source };
    let refused = |why| Error::Refused { path: path.into(), why };
    let name: OsString = path.file_name().ok_or_else(|| refused("is no name of a file"))?.into();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(parent).map_err(call)?;
    // An address has room for 107 bytes (unix(7)), which the way by the descriptor spares.
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    // Two agents that both find a dead socket must not remove each other's new one.
    let lock = lock(folder.try_clone().map_err(call)?).map_err(call)?;
    match fs::symlink_metadata(&short) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(call(error)),
        Ok(there) if !there.file_type().is_socket() => return Err(refused("is there, and is no socket")),
        Ok(_) => match somebody_listens(&short) {
            Ok(true) => return Err(refused("another process listens there")),
            Ok(false) => fs::remove_file(&short).map_err(call)?,
            Err(errno) => return Err(call(errno.into())),
        },
    }
    let listener = bind(&short).map_err(|errno| call(errno.into()))?;
    let name = CString::new(short.as_os_str().as_bytes()).map_err(|_| refused("is no name of a file"))?;
    let file = path::open_path(&name, libc::O_NOFOLLOW).map_err(|errno| call(errno.into()))?;
    drop(lock);
    Ok((listener, Place { _folder: folder, path: short, file }))
}

fn bind(path: &Path) -> Result<UnixListener, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The name gets this mode from its first moment, and the umask takes from it only.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    nix::sys::socket::listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into())
}

fn lock(mut folder: File) -> io::Result<Flock<File>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK)) if Instant::now() < deadline => folder = again,
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn somebody_listens(path: &Path) -> Result<bool, Errno> {
    // Without waiting: who listens need not accept.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        // A full queue; a socket of another type.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn words(result: Result<(UnixListener, Place), Error>) -> String {
        result.map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_socket_is_made_for_its_owner_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than an address.
        let path = folder.path().join("x".repeat(90));
        let (listener, place) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(words(listen(&path)).ends_with("another process listens there"));
        drop(listener);
        // Dead, but there; a new one takes its place, and the old one's end leaves it alone.
        let (_listener, new) = listen(&path).unwrap();
        drop(place);
        assert!(path.exists());
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "kept").unwrap();
        assert!(words(listen(&path)).ends_with("is there, and is no socket"));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(words(listen(&folder.path().join("link"))).ends_with("is there, and is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        assert!(words(listen(Path::new("/"))).ends_with("is no name of a file"));
        assert!(words(listen(&folder.path().join("none/socket"))).starts_with("listen on "));
        let datagrams = std::os::unix::net::UnixDatagram::bind(folder.path().join("datagrams")).unwrap();
        assert!(words(listen(&folder.path().join("datagrams"))).ends_with("another process listens there"));
        drop(datagrams);
    }

    #[test]
    fn who_listens_need_not_accept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_listener, _place) = listen(&path).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(words(listen(&path)).ends_with("another process listens there"));
    }
}
