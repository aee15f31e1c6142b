//! A folder of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Removed with everything mounted below it when it is dropped, also by a panic.
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Its path is short: sockets are made in it, whose names may have 107 bytes. unix(7).
    pub fn new(what: &str) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("zviz-{what}-")).rand_bytes(4).tempdir_in("/tmp");
        Scratch { dir: dir.unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The last part of its path: a name that nothing else on this machine has.
    pub fn name(&self) -> String {
        self.dir.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// The mounts in it, the last one first.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
        let mut points: Vec<_> = points.filter(|point| point.starts_with(self.path())).collect();
        points.reverse();
        points
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for point in self.mounts() {
            let _ = nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}
