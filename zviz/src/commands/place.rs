//! Where a document goes when what runs has begun, or has ended. The place is taken before: the program may write to the folder, and
//! leave a link there that leads elsewhere, or a pipe that nobody reads.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat, renameat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file, which is made when there is something to write.
#[derive(Debug)]
pub struct Place {
    folder: File,
    name: OsString,
    mode: Mode,
    there: There,
    path: PathBuf,
}

/// What there was beforehand.
#[derive(Debug)]
enum There {
    Nothing,
    File(File),
    /// A device or a pipe.
    Other(File),
}

impl Place {
    /// Takes it. `mode` is that of a new file, less the umask.
    ///
    /// # Errors
    /// In words: no such folder, or something there that cannot be written; ELOOP for a link that is not of /dev or /proc.
    pub fn take(path: &Path, mode: u32) -> io::Result<Place> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        taken(path, Mode::from_bits_truncate(mode)).map_err(named)
    }

    /// Writes a document: all of it, under this very name.
    ///
    /// # Errors
    /// In words, with the path.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let written = match &self.there {
            There::Other(file) => { file }.write_all(text.as_bytes()),
            There::File(file) if self.is_still(file) => over(file, text),
            There::File(_) | There::Nothing => self.anew(text),
        };
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }

    /// Whether the name, and no other, is that of the file.
    fn is_still(&self, file: &File) -> bool {
        let now = fstatat(&self.folder, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let (Ok(now), Ok(file)) = (now, fstat(file)) else { return false };
        (now.st_dev, now.st_ino, now.st_nlink) == (file.st_dev, file.st_ino, 1)
    }

    fn anew(&self, text: &str) -> io::Result<()> {
        let mut bytes = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let fresh = format!(".zviz-{:016x}.new", u64::from_ne_bytes(bytes));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.folder, fresh.as_str(), flags, self.mode)?);
        let done = file
            .write_all(text.as_bytes())
            .and_then(|()| Ok(renameat(&self.folder, fresh.as_str(), &self.folder, self.name.as_os_str())?));
        if done.is_err() {
            let _ = unlinkat(&self.folder, fresh.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        done
    }
}

fn taken(path: &Path, mode: Mode) -> io::Result<Place> {
    let name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(parent)?;
    // Neither a pipe that nobody reads nor a terminal holds this up.
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let open = |flags| openat(&folder, name.as_os_str(), flags, Mode::empty()).map(File::from);
    let found = match open(flags | OFlag::O_NOFOLLOW) {
        // Such as /dev/stdout.
        Err(Errno::ELOOP) if ["/dev", "/proc"].iter().any(|own| path.starts_with(own)) => Some(open(flags)?),
        Err(Errno::ENOENT) => None,
        other => Some(other?),
    };
    let there = match found {
        None => There::Nothing,
        // In a folder for everybody, another one's file is another one's to read and change: proc_sys_fs(5), protected_regular.
        Some(file) if is_strange(&folder, &file)? => There::Nothing,
        Some(file) if file.metadata()?.is_file() => There::File(file),
        Some(file) => {
            fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
            There::Other(file)
        }
    };
    Ok(Place { folder, name, mode, there, path: path.to_owned() })
}

fn is_strange(folder: &File, file: &File) -> io::Result<bool> {
    let (folder, file) = (folder.metadata()?, file.metadata()?);
    let for_all = folder.mode() & (libc::S_ISVTX | libc::S_IWOTH) == libc::S_ISVTX | libc::S_IWOTH;
    Ok(for_all && file.is_file() && file.uid() != nix::unistd::geteuid().as_raw())
}

fn over(mut file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}
