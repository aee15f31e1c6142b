//! What a profile says of files and ports, by path and number. What it says by pattern is the broker's.

use serde::{Deserialize, Serialize};

/// Paths of the inside, absolute. What is not said is as the spec has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// Nothing is there to be read but what is named here, and what the runtime makes.
    pub listed_only: bool,
    /// Read, and never written.
    pub readonly: Vec<String>,
    /// Read and written; with it, nothing else is written.
    pub writable: Option<Vec<String>>,
    /// Empty folders in memory.
    pub tmpfs: Vec<String>,
    /// Not there.
    pub hidden: Vec<String>,
    /// Executed; with it, nothing else is.
    pub executable: Option<Vec<String>>,
    /// The folder that a sandbox is started in; none is as it always is.
    pub workspace: Option<Workspace>,
}

/// What becomes of the folder that a sandbox is started in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workspace {
    /// It is shared.
    Writable,
    /// It is shared to be read.
    Readonly,
    /// It is not there.
    None,
}

/// TCP ports, from and to, both included. None is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// That may be listened at.
    pub bind: Option<Vec<(u16, u16)>>,
    /// That may be connected to.
    pub connect: Option<Vec<(u16, u16)>>,
}

/// What the runtime makes for every container: devices, processes, kernel settings. Masks and mounts say what of it is seen.
pub const OWN: &[&str] = &["/dev", "/proc", "/sys"];

impl Files {
    /// Whether something may be read, by this alone.
    #[must_use]
    pub fn reads(&self, path: &str) -> bool {
        let writable = self.writable.iter().flatten();
        let listed = || self.readonly.iter().chain(writable).chain(&self.tmpfs).any(|above| within(path, above));
        !self.listed_only || is_own(path) || listed()
    }

    /// Whether something may be written.
    #[must_use]
    pub fn writes(&self, path: &str) -> bool {
        let Some(writable) = &self.writable else {
            return is_own(path) || !self.readonly.iter().any(|above| within(path, above));
        };
        // The nearer of two names holds.
        let depth = |paths: &[String]| paths.iter().filter(|above| within(path, above)).map(String::len).max();
        let allowed = depth(writable).max(depth(&self.tmpfs));
        is_own(path) || allowed.is_some_and(|allowed| depth(&self.readonly).is_none_or(|denied| denied < allowed))
    }

    /// Whether programs may be executed there.
    #[must_use]
    pub fn executes(&self, path: &str) -> bool {
        self.executable.as_ref().is_none_or(|executable| executable.iter().any(|above| within(path, above)))
    }

    /// Every path that it names to be used, each once.
    pub fn used(&self) -> impl Iterator<Item = &String> {
        let lists = [Some(&self.readonly), self.writable.as_ref(), Some(&self.tmpfs), self.executable.as_ref()];
        let mut all: Vec<&String> = lists.into_iter().flatten().flatten().collect();
        all.sort();
        all.dedup();
        all.into_iter()
    }
}

fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| within(path, own))
}

/// Whether a path is another, or below it.
pub(crate) fn within(path: &str, above: &str) -> bool {
    above == "/" || path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn nothing_is_said_by_default() {
        let files = Files::default();
        assert!(
            ["/", "/etc", "/home/u"].iter().all(|path| files.reads(path) && files.writes(path) && files.executes(path))
        );
    }

    #[test]
    fn lists_say_all_there_is() {
        let files = Files {
            listed_only: true,
            readonly: list(&["/usr", "/work/.git"]),
            writable: Some(list(&["/work"])),
            tmpfs: list(&["/tmp"]),
            executable: Some(list(&["/usr"])),
            ..Files::default()
        };
        let of = |path: &str| (files.reads(path), files.writes(path), files.executes(path));
        assert_eq!(of("/usr/bin/sh"), (true, false, true));
        assert_eq!(of("/usrx"), (false, false, false));
        assert_eq!(of("/work/a"), (true, true, false));
        assert_eq!(of("/work/.git/hooks"), (true, false, false));
        assert_eq!(of("/tmp"), (true, true, false));
        assert_eq!(of("/dev/null"), (true, true, false));
        assert_eq!(of("/"), (false, false, false));
    }
}
