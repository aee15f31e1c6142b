//! Throws changes away.

use crate::{Error, Opened, at, escape, remove, scan};
use std::io;
use std::os::fd::AsFd;

impl Opened {
    /// Throws away what the stage did to a path and everything below it.
    ///
    /// # Errors
    /// There is nothing, or it cannot be given back by itself.
    pub fn revert(&self, path: &[u8]) -> Result<(), Error> {
        let shown = || escape::name(path);
        let named = |source| Error::io(format!("revert {}", shown()), source);
        let (around, name) = at::split(path);
        let dir = match at::folder(&self.upper, around) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
                return Err(self.untouched(path));
            }
            other => other.map_err(named)?,
        };
        if self.is_renewed(path).map_err(named)? {
            return Err(Error::Renewed(shown()));
        }
        match at::stat(&dir, name).map_err(named)? {
            Some(_) => remove::entry(dir.as_fd(), name).map_err(named),
            None => Err(self.untouched(path)),
        }
    }

    fn untouched(&self, path: &[u8]) -> Error {
        let shown = escape::name(path);
        if self.is_renewed(path).unwrap_or(false) { Error::Renewed(shown) } else { Error::Unchanged(shown) }
    }

    /// Whether the host has something there that a folder around it hides: it would stay hidden.
    fn is_renewed(&self, path: &[u8]) -> io::Result<bool> {
        let (around, name) = at::split(path);
        let Ok(host) = at::folder(&self.folder, around) else { return Ok(false) };
        if at::stat(&host, name)?.is_none() {
            return Ok(false);
        }
        let mut folder = around;
        while !folder.is_empty() {
            if at::is_marked(&self.upper, folder, scan::OPAQUE) {
                return Ok(true);
            }
            folder = at::split(folder).0;
        }
        Ok(false)
    }
}
