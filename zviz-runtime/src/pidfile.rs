//! The pid file (`--pid-file`): the payload's pid, in decimal, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A pid file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write pid file {}", path.display())]
pub struct Error {
    /// As given.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes it, so that a reader sees either what was there before or all of it: a file beside it is filled, then renamed.
///
/// # Errors
/// What creating, writing and renaming say; nothing is left beside it then.
pub fn write(path: &Path, pid: i32) -> Result<(), Error> {
    write_beside(path, pid).map_err(|source| Error { path: path.into(), source })
}

fn write_beside(path: &Path, pid: i32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    // Two runtimes that were told the same file must not fill one temporary between them.
    hidden.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary);
    let file = match create() {
        // Left by a runtime that was killed and had the same number.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => std::fs::remove_file(&temporary).and_then(|()| create()),
        other => other,
    }?;
    fill(file, pid).and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    })
}

fn fill(mut file: File, pid: i32) -> io::Result<()> {
    file.write_all(pid.to_string().as_bytes())
}
