//! What an application is about to do, written down before it is done, so that who comes after a SIGKILL knows what is ours.
//!
//! A line each, in the stage's own folder, which nobody but its owner can write. It is not synchronised with the disk: a process
//! is to be survived here, and each file would wait. After a power cut it may lack its end.

use crate::change::{Kind, Stamp};
use crate::{Error, at};
use nix::sys::stat::FileStat;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// In a stage's folder.
pub(crate) const FILE: &str = "applying";

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Line {
    /// In this folder names are changed, and nobody but us has changed it before.
    Folder(Vec<u8>),
    /// Another name is made in the folder of a path.
    Beside(Beside),
    /// A path is applied, and how it was then.
    Done(Vec<u8>, Stamp),
}

/// A name of ours beside a file of the host's, which is exchanged with it or moved there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// Of the file.
    pub path: Vec<u8>,
    /// The other name.
    pub name: String,
    /// What is made under it.
    pub made: Made,
    /// The file as it was judged.
    pub host: Option<State>,
}

/// How a file of ours is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Made {
    /// None is made.
    Nothing,
    /// It is about to be, and is empty until the next line.
    Empty,
    /// It is being filled: device and inode.
    Begun(u64, u64),
    /// It is ready.
    Whole(State),
    /// A link that leads there.
    Link(Vec<u8>),
}

impl Made {
    /// Whether that is what is under a name.
    pub(crate) fn is(&self, dir: BorrowedFd<'_>, name: &[u8], stat: &FileStat) -> io::Result<bool> {
        let kind = Kind::of(stat);
        Ok(match self {
            Made::Nothing => false,
            Made::Empty => kind == Kind::File && stat.st_size == 0,
            Made::Begun(device, inode) => (stat.st_dev, stat.st_ino) == (*device, *inode),
            Made::Whole(state) => State::of(stat) == *state,
            Made::Link(target) => kind == Kind::Link && at::link(dir, name)? == *target,
        })
    }
}

/// Which file it is, and in which state. A change of name gives a file another change time, and nothing of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    file: (u64, u64),
    mode: u32,
    size: i64,
    written: (i64, i64),
    owner: (u32, u32),
}

impl State {
    pub(crate) fn of(stat: &FileStat) -> State {
        State {
            file: (stat.st_dev, stat.st_ino),
            mode: stat.st_mode,
            size: stat.st_size,
            written: (stat.st_mtime, stat.st_mtime_nsec),
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

/// The journal of an application that goes on.
pub(crate) struct Journal(File);

impl Journal {
    /// A new one, in a stage's folder.
    pub(crate) fn begin(stage: &Path) -> Result<Journal, Error> {
        let path = stage.join(FILE);
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        options.open(&path).map(Journal).map_err(|source| Error::io(format!("make {}", path.display()), source))
    }

    /// Nothing may be done before it is written down.
    pub(crate) fn note(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.write_all(&text)
    }
}

/// Whether something was written down.
pub(crate) fn is_there(stage: &Path) -> bool {
    stage.join(FILE).symlink_metadata().is_ok()
}

/// What was written down; none where nothing goes on. What was not written to its end was not begun.
pub(crate) fn read(stage: &Path) -> Result<Option<Vec<Line>>, Error> {
    let path = stage.join(FILE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| Error::io(format!("read {}", path.display()), source))?,
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    Ok(Some(lines.map_while(|line| serde_json::from_slice(line).ok()).collect()))
}

/// Nothing of it is left to do.
pub(crate) fn end(stage: &Path) -> Result<(), Error> {
    let path = stage.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_not_finished_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let lines = [Line::Folder(b"d\xff".into()), Line::Folder(b"e".into())];
        let mut journal = Journal::begin(folder.path()).unwrap();
        lines.iter().for_each(|line| journal.note(line).unwrap());
        assert!(Journal::begin(folder.path()).is_err(), "one of somebody's is there");
        let whole = fs::read(folder.path().join(FILE)).unwrap();
        for cut in 0..=whole.len() {
            fs::write(folder.path().join(FILE), &whole[..cut]).unwrap();
            let count = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(read(folder.path()).unwrap().unwrap(), lines[..count]);
        }
        end(folder.path()).unwrap();
        end(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
    }
}
