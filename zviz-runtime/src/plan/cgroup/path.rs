//! Where a container's cgroup goes: the two meanings of `linux.cgroupsPath`.
//!
//! For the cgroupfs driver it is a path: an absolute one counts from the mount of each hierarchy, a relative one from
//! our own cgroup (on v2 from its parent, since a cgroup with processes cannot have children with controllers), and
//! the container's id stands in for an absent one. For systemd it is `slice:prefix:name`.

use crate::plan::Problems;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

const PLACE: &str = "linux.cgroupsPath";

/// A path for the cgroupfs driver, without `.` and `..`, relative in form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Below the mount.
    BelowMount(PathBuf),
    /// Below our own cgroup.
    BelowOwn(PathBuf),
}

/// Reads a path for the cgroupfs driver.
pub fn wanted(cgroups_path: Option<&Path>, id: &str, problems: &mut Problems) -> Wanted {
    let Some(path) = cgroups_path.filter(|p| !p.as_os_str().is_empty()) else {
        return Wanted::BelowOwn(PathBuf::from(id));
    };
    if path.components().any(|c| c == Component::ParentDir) {
        problems.add(PLACE, format!("{} leaves its hierarchy through \"..\"", path.display()));
    }
    if path.as_os_str().as_encoded_bytes().iter().any(|b| b.is_ascii_control()) {
        problems.add(PLACE, "holds a control character");
    }
    let names: PathBuf = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
    if names.as_os_str().is_empty() {
        problems.add(PLACE, "is the root of the hierarchy, which is not the container's");
    }
    if path.is_absolute() { Wanted::BelowMount(names) } else { Wanted::BelowOwn(names) }
}

/// A unit of systemd that holds a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `zviz-ID.scope`, or a name that ends in `.slice`.
    pub name: String,
    /// The slice that it belongs to.
    pub slice: String,
    /// Of the user's manager (`systemctl --user`), not the system's.
    pub user: bool,
    /// The container's name in the unit's description.
    pub description: String,
}

impl Unit {
    /// Whether it is a slice, which systemd starts without a process.
    pub fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }
}

/// Reads a path for the systemd driver.
pub fn unit(cgroups_path: Option<&Path>, id: &str, rootless: bool, problems: &mut Problems) -> Unit {
    let text = cgroups_path.map(|p| p.to_string_lossy()).unwrap_or_default();
    let default_slice = if rootless { "user.slice" } else { "system.slice" };
    let (slice, prefix, name) = match text.split(':').collect::<Vec<_>>()[..] {
        [""] => (default_slice, "zviz", id),
        ["", prefix, name] => (default_slice, prefix, name),
        [slice, prefix, name] => (slice, prefix, name),
        _ => {
            problems
                .add(PLACE, format!("{text:?} is not of the form \"slice:prefix:name\" that systemd's driver takes"));
            (default_slice, "zviz", id)
        }
    };
    if expand_slice(slice).is_none() {
        problems.add(PLACE, format!("{slice:?} is not the name of a slice"));
    }
    let unit = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
    // systemd.unit(5); 255 bytes with the suffix.
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.is_empty() || unit.len() > 255 || !unit.chars().all(allowed) {
        problems.add(PLACE, format!("{unit:?} is not the name of a unit"));
    }
    if unit.ends_with(".slice") && expand_slice(&unit).is_none() {
        problems.add(PLACE, format!("{unit:?} is not the name of a slice"));
    }
    Unit { name: unit, slice: slice.to_owned(), user: rootless, description: name.to_owned() }
}

/// The path of a slice: `a-b.slice` is `a.slice/a-b.slice`, and `-.slice` the root. systemd.slice(5).
pub fn expand_slice(slice: &str) -> Option<PathBuf> {
    let name = slice.strip_suffix(".slice").filter(|n| !n.contains('/'))?;
    if name == "-" {
        return Some(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        if part.is_empty() {
            return None;
        }
        path.push(format!("{prefix}{part}.slice"));
        prefix.push_str(part);
        prefix.push('-');
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (Wanted, String) {
        let mut problems = Problems::default();
        let wanted = wanted(Some(Path::new(path)), "id", &mut problems);
        (wanted, problems.to_string())
    }

    #[test]
    fn paths_are_cleaned_or_refused() {
        assert_eq!(read("/a//b/./c/"), (Wanted::BelowMount("a/b/c".into()), String::new()));
        assert_eq!(read("a/b"), (Wanted::BelowOwn("a/b".into()), String::new()));
        assert_eq!(read(""), (Wanted::BelowOwn("id".into()), String::new()));
        assert!(read("/a/../../b").1.contains("\"..\""));
        assert!(read("../b").1.contains("\"..\""));
        assert!(read("/").1.contains("root of the hierarchy"));
    }

    #[test]
    fn units() {
        let unit = |path: Option<&str>, rootless| {
            let mut problems = Problems::default();
            let unit = unit(path.map(Path::new), "id", rootless, &mut problems);
            (unit.slice, unit.name, problems.to_string())
        };
        let fine = |slice: &str, name: &str| (slice.to_owned(), name.to_owned(), String::new());
        assert_eq!(unit(None, false), fine("system.slice", "zviz-id.scope"));
        assert_eq!(unit(None, true), fine("user.slice", "zviz-id.scope"));
        assert_eq!(unit(Some("machine.slice:docker:x"), false), fine("machine.slice", "docker-x.scope"));
        assert_eq!(unit(Some(":docker:x"), false), fine("system.slice", "docker-x.scope"));
        assert_eq!(unit(Some("a-b.slice:-:a-b-c.slice"), false), fine("a-b.slice", "a-b-c.slice"));
        assert!(unit(Some("/docker/x"), false).2.contains("slice:prefix:name"));
        assert!(unit(Some("no:docker:x"), false).2.contains("not the name of a slice"));
        assert!(unit(Some("system.slice:docker:../x"), false).2.contains("not the name of a unit"));
    }

    #[test]
    fn slices_are_nested_by_their_names() {
        assert_eq!(expand_slice("test-a-b.slice"), Some("test.slice/test-a.slice/test-a-b.slice".into()));
        assert_eq!(expand_slice("-.slice"), Some(PathBuf::new()));
        for bad in ["a", ".slice", "-a.slice", "a--b.slice", "a/b.slice", "a-.slice"] {
            assert_eq!(expand_slice(bad), None, "{bad}");
        }
    }
}
