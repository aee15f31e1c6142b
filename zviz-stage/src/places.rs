//! Where a path is on the host, for who asks whether it hands trust onward: its name below the staged folder tells little of a
//! stage of `.github` alone, and nothing of a repository that is not called `.git`.

use crate::{Error, Opened, at, escape, trust};
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

/// What is known of the folders on the way to changes.
pub(crate) struct Places<'a> {
    opened: &'a Opened,
    /// The staged folder's own path, unless a project begins there.
    above: Option<Vec<u8>>,
    repositories: BTreeMap<Vec<u8>, bool>,
}

impl<'a> Places<'a> {
    /// # Errors
    /// The folder cannot be looked at.
    pub(crate) fn of(opened: &'a Opened) -> Result<Places<'a>, Error> {
        let folder = &opened.stage.record.folder;
        let look = |source| Error::io(format!("look at {}", escape::name(folder.as_bytes())), source);
        // Where a project begins, what it lies in says nothing: some keep their worktrees in a folder of an agent's.
        let project = at::stat(&opened.folder, b".git").map_err(look)?.is_some();
        let above = (!project).then(|| folder.trim_start_matches('/').as_bytes().to_vec());
        Ok(Places { opened, above, repositories: BTreeMap::new() })
    }

    /// The reason why a path hands trust onward, if it does.
    pub(crate) fn trust(&mut self, path: &[u8]) -> Option<&'static str> {
        if let Some(why) = trust::hands_on(path) {
            return Some(why);
        }
        if let Some(inside) = self.in_repository(path) {
            return trust::in_repository(inside);
        }
        trust::hands_on(&at::join(self.above.as_ref()?, path))
    }

    /// The path below the outermost folder around it that git takes for a repository: it has the three names that git looks for
    /// (gitrepository-layout(5)).
    fn in_repository<'p>(&mut self, path: &'p [u8]) -> Option<&'p [u8]> {
        let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = [0].into_iter().chain(slashes).collect();
        let outermost = ends.into_iter().find(|end| {
            let folder = path.get(..*end).unwrap_or_default();
            let opened = self.opened;
            *self.repositories.entry(folder.to_vec()).or_insert_with(|| may_be_repository(opened, folder))
        })?;
        path.get(outermost..).map(|rest| rest.strip_prefix(b"/").unwrap_or(rest))
    }
}

/// What cannot be looked at may be one; what is not there is none yet.
fn may_be_repository(opened: &Opened, folder: &[u8]) -> bool {
    let nowhere = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP));
    is_repository(opened, folder).unwrap_or_else(|error| !nowhere(&error))
}

fn is_repository(opened: &Opened, folder: &[u8]) -> io::Result<bool> {
    let folder = at::open(&opened.folder, folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let has = |name: &[u8]| Ok::<_, io::Error>(at::stat(folder.as_fd(), name)?.is_some());
    // A worktree's own folder has `commondir`, and the others elsewhere.
    Ok(has(b"HEAD")? && (has(b"commondir")? || has(b"objects")? && has(b"refs")?))
}
