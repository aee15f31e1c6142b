//! The network helper, `zviz-net`: found beside this program, started, asked one thing.
//!
//! It is root's right hand where root runs zviz: so it must be root's, and nobody else may have written to it. It is looked at
//! by a descriptor, and what was looked at is what is executed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zviz_network::wire::{self, Reply, Request};
use zviz_sys::exec::CStrArray;
use zviz_sys::spawn::{self, Child, Image, Program};
use zviz_sys::{Errno, fd, path, rights};

/// Its name.
pub const NAME: &str = "zviz-net";
/// Where it is, seen from the folder of this program.
const PLACES: &[&str] = &[".", "../libexec/zviz"];
/// How long it may take to answer. It answers in milliseconds; many that start at once wait for the kernel's lock of networks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who owns what belongs to nobody in this user namespace: files of the host's own root, seen from inside of one.
const OVERFLOW: u32 = 65_534;

/// Why it has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Where to look for it is not known.
    #[error("look for {NAME}")]
    Lost(#[source] io::Error),
    /// It is nowhere.
    #[error("{NAME} is not installed: {}", at(places))]
    Absent {
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// It cannot be trusted.
    #[error("{}: {what}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// It cannot be started.
    #[error("{}: {source}", path.display())]
    Start {
        /// Which.
        path: PathBuf,
        /// Why.
        source: spawn::Failure,
    },
    /// It does not answer.
    #[error("{NAME}: {what}")]
    Broken {
        /// While doing what.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It could not do what it was asked, and says why.
    #[error("{0}")]
    Fault(String),
}

fn at(places: &[PathBuf]) -> String {
    let list: Vec<String> = places.iter().map(|place| format!("{} is not there", place.display())).collect();
    list.join(", ")
}

/// The program, looked at and open.
#[derive(Debug)]
pub struct Helper {
    file: OwnedFd,
    path: PathBuf,
}

/// The helper of this program.
///
/// # Errors
/// It is not there; somebody else than root could have written it, where root runs this.
pub fn find() -> Result<Helper, Error> {
    let own = crate::sealed::original().map_err(Error::Lost)?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    find_in(folder, nix::unistd::geteuid().is_root())
}

fn find_in(folder: &Path, as_root: bool) -> Result<Helper, Error> {
    let places: Vec<PathBuf> = PLACES.iter().map(|place| folder.join(place).join(NAME)).collect();
    for place in &places {
        let foreign = |what: String| Error::Foreign { path: place.clone(), what };
        let name = CString::new(place.as_os_str().as_bytes()).map_err(|_| foreign("holds a NUL byte".into()))?;
        let file = match path::open_path(&name, 0) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            other => other.map_err(|errno| foreign(errno.desc().into()))?,
        };
        let found = fd::stat(&file).map_err(|errno| foreign(errno.desc().into()))?;
        if as_root {
            judge(&found, is_nested()).map_err(foreign)?;
        }
        return Ok(Helper { file, path: place.clone() });
    }
    Err(Error::Absent { places })
}

/// Whether this is a user namespace in which files of the host's root belong to nobody.
fn is_nested() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// What root executes is root's.
fn judge(found: &libc::stat, nested: bool) -> Result<(), String> {
    if found.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err("is no file".into());
    }
    if found.st_uid != 0 && !(nested && found.st_uid == OVERFLOW) {
        return Err(format!("belongs to user {}, and root would run it: chown root it", found.st_uid));
    }
    if found.st_mode & 0o022 != 0 {
        return Err(format!("may be written by others (mode {:o}): chmod go-w it", found.st_mode & 0o7777));
    }
    Ok(())
}

impl Helper {
    /// Asks for one thing and waits for the answer. With `stays` it goes on after that until it ends by itself, and after this
    /// process has ended too; else it has ended when this returns.
    ///
    /// # Errors
    /// It cannot be started, does not answer in time, or could not do it. It has ended then.
    pub fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>], stays: bool) -> Result<Reply, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(broken("make a socket"))?;
        let child = self.start(theirs.as_fd(), stays)?;
        drop(theirs);
        let reply = talk(&ours, request, descriptors);
        match &reply {
            Ok(_) if stays => return reply,
            Ok(_) => drop(ours),
            // It may be in the middle of something that the end of its socket would not end.
            Err(_) => drop(child.kill()),
        }
        let _ = child.wait();
        reply
    }

    fn start(&self, socket: BorrowedFd<'_>, stays: bool) -> Result<Child, Error> {
        let name = CString::new(self.path.as_os_str().as_bytes()).unwrap_or_default();
        let null = path::open(c"/dev/null", libc::O_RDWR | libc::O_CLOEXEC);
        let null = null.map_err(|errno| broken("open /dev/null")(errno.into()))?;
        let stderr = io::stderr();
        // What it says beside its answers is for whoever started this, who may not be there any more.
        let errors = if stays { null.as_fd() } else { stderr.as_fd() };
        spawn::spawn(&Program {
            image: Image::Opened { file: self.file.as_fd(), path: &name },
            argv: &CStrArray::new(vec![name.clone()]),
            env: &CStrArray::new(Vec::new()),
            stdio: [socket, null.as_fd(), errors],
            join: &[],
            root: None,
            cwd: Some(c"/"),
            cgroup: None,
            tasks: &[],
            stays,
            confine: None,
        })
        .map_err(|source| Error::Start { path: self.path.clone(), source })
    }
}

fn broken(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Broken { what, source }
}

/// Gives it the request with its descriptors, and takes the answer.
fn talk(socket: &UnixStream, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Reply, Error> {
    socket.set_read_timeout(Some(PATIENCE)).map_err(broken("set a deadline"))?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(broken("set a deadline"))?;
    let mut message = Vec::new();
    wire::send(&mut message, request).map_err(broken("write a request"))?;
    let asked = broken("send a request");
    let mut sent = rights::send_with(socket.as_fd(), &message, descriptors).map_err(|errno| asked(errno.into()))?;
    while let Some(rest) = message.get(sent..).filter(|rest| !rest.is_empty()) {
        use nix::sys::socket::{MsgFlags, send};
        match send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            other => sent += other.map_err(|errno| asked(errno.into()))?,
        }
    }
    match wire::receive(socket).map_err(broken("wait for its answer"))? {
        Reply::Fault { what } => Err(Error::Fault(what)),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn installed(folder: &Path, mode: u32) -> PathBuf {
        let path = folder.join(NAME);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn it_is_beside_this_program_or_in_libexec() {
        let prefix = tempfile::tempdir().unwrap();
        let (bin, libexec) = (prefix.path().join("bin"), prefix.path().join("libexec/zviz"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&libexec).unwrap();
        let error = find_in(&bin, false).unwrap_err().to_string();
        assert!(error.contains("zviz-net is not installed") && error.contains("libexec"), "{error}");
        installed(&libexec, 0o755);
        assert!(find_in(&bin, false).unwrap().path.ends_with("bin/../libexec/zviz/zviz-net"));
        installed(&bin, 0o755);
        assert!(find_in(&bin, false).unwrap().path.ends_with("bin/./zviz-net"));
    }

    fn saying(words: &str) -> (tempfile::TempDir, Helper) {
        let dir = tempfile::tempdir().unwrap();
        let path = installed(dir.path(), 0o755);
        fs::write(path, format!("#!/bin/sh\nset -- $(env | grep -v ^PWD= | grep -v ^_=)\n{words}\n")).unwrap();
        let helper = find_in(dir.path(), false).unwrap();
        (dir, helper)
    }

    #[test]
    fn what_it_answers_is_taken() {
        // Its standard input is the socket, and it has no environment but what the shell itself makes.
        let (_dir, helper) = saying("case \"$*\" in *HOME=*) exit 1;; esac; printf '\\006\\000\\000\\000\"done\"' >&0");
        for stays in [false, true] {
            assert_eq!(helper.ask(&Request::Sweep, &[], stays).unwrap(), Reply::Done);
        }
        let (_dir, helper) = saying("printf '\\031\\000\\000\\000{\"fault\":{\"what\":\"no\"}}  ' >&0");
        assert_eq!(helper.ask(&Request::Sweep, &[], false).unwrap_err().to_string(), "no");
    }

    #[test]
    fn one_that_says_nothing_is_an_error() {
        for words in
            ["exit 0", "kill -9 $$", "printf '\\377\\377\\377\\377' >&0", "printf '\\003\\000\\000\\000{x}' >&0"]
        {
            let (_dir, helper) = saying(words);
            let error = helper.ask(&Request::Sweep, &[], false).unwrap_err();
            assert!(matches!(error, Error::Broken { .. }), "{words}: {error}");
        }
    }

    #[test]
    fn what_root_runs_is_roots_own() {
        let look = |mode, uid| {
            let dir = tempfile::tempdir().unwrap();
            let mut found = fd::stat(fs::File::open(installed(dir.path(), 0o755)).unwrap()).unwrap();
            (found.st_mode, found.st_uid) = (mode, uid);
            found
        };
        let file = libc::S_IFREG;
        assert_eq!(judge(&look(file | 0o755, 0), false), Ok(()));
        assert_eq!(judge(&look(file | 0o755, OVERFLOW), true), Ok(()));
        for (mode, uid, nested, said) in [
            (file | 0o755, 1000, true, "belongs to user 1000"),
            (file | 0o755, OVERFLOW, false, "belongs to user 65534"),
            (file | 0o775, 0, false, "may be written by others (mode 775)"),
            (file | 0o757, 0, false, "may be written by others (mode 757)"),
            (libc::S_IFDIR | 0o755, 0, false, "is no file"),
        ] {
            let error = judge(&look(mode, uid), nested).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
