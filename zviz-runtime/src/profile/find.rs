//! Where profiles are looked for: by path, in the user's and the host's folders, among the built-in ones.

use super::Profile;
use super::built_in;
use super::lower::{Context, lower};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zviz_profile::{Document, Text, node};

/// Of the host.
pub const HOST: &str = "/etc/zviz/profiles";

/// Who asks for a profile, and where it may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    folders: Vec<PathBuf>,
    paths: bool,
}

impl Search {
    /// The user at the command line: any file, then `$XDG_CONFIG_HOME/zviz/profiles`, then the host's.
    #[must_use]
    pub fn of_user() -> Search {
        let of = |name: &str, rest: &str| {
            std::env::var_os(name).map(|folder| PathBuf::from(folder).join(rest)).filter(|folder| folder.is_absolute())
        };
        let own = of("XDG_CONFIG_HOME", "zviz/profiles").or_else(|| of("HOME", ".config/zviz/profiles"));
        Search { folders: own.into_iter().chain([HOST.into()]).collect(), paths: true }
    }

    /// An annotation: the host's and the built-in ones alone, by name.
    #[must_use]
    pub fn of_host() -> Search {
        Search::in_folder(HOST)
    }

    /// A folder of the host's choice, and the built-in ones, by name.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Search {
        Search { folders: vec![folder.into()], paths: false }
    }

    /// Finds a profile, and lowers it.
    ///
    /// # Errors
    /// In words: that there is none, or all that is wrong with it, each with its line.
    pub fn profile(&self, name: &str, context: &Context) -> Result<Profile, String> {
        if name == "default" && self.file(name)?.is_none() {
            return Ok(Profile::default());
        }
        let document = self.document(name)?;
        lower(&document, context).map_err(|faults| faults.to_string())
    }

    /// Finds a profile, and reads it.
    ///
    /// # Errors
    /// As [`Search::profile`].
    pub fn document(&self, name: &str) -> Result<Document, String> {
        let text = self.text(name)?;
        zviz_profile::read(&text, &|other| self.base(other)).map_err(|faults| faults.to_string())
    }

    /// Finds its text.
    ///
    /// # Errors
    /// That there is none, or that it cannot be trusted.
    pub fn text(&self, name: &str) -> Result<Text, String> {
        if self.paths && is_path(name) {
            return read(Path::new(name), OTHERS)?.ok_or_else(|| format!("{name}: there is no such file"));
        }
        self.base(name)
    }

    fn base(&self, name: &str) -> Result<Text, String> {
        if let Some(found) = self.file(name)? {
            return Ok(found);
        }
        built_in::text(name).ok_or_else(|| {
            let known: Vec<&str> = built_in::BUILT_IN.iter().map(|(name, _)| *name).collect();
            let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
            let (known, folders) = (known.join(", "), folders.join(" and "));
            format!("there is no profile {name:?}: built in are {known}; others are {name}.yaml in {folders}")
        })
    }

    fn file(&self, name: &str) -> Result<Option<Text>, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || name.contains("..") || !name.chars().all(plain) {
            return Err(format!("{name:?} is no name of a profile: letters, digits, '.', '_' and '-'"));
        }
        for folder in &self.folders {
            if let Some(found) = read(&folder.join(format!("{name}.yaml")), OTHERS)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The names of all that can be found, with where each is.
    #[must_use]
    pub fn list(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for folder in &self.folders {
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned))
                .collect();
            names.sort();
            for name in names {
                if !found.iter().any(|(known, _)| *known == name) {
                    let path = folder.join(format!("{name}.yaml"));
                    found.push((name, path.display().to_string()));
                }
            }
        }
        for (name, _) in built_in::BUILT_IN {
            if !found.iter().any(|(known, _)| known == name) {
                found.push(((*name).to_owned(), "built in".to_owned()));
            }
        }
        found
    }
}

/// A word with a slash, or the name of a file.
fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Who is not to write: whoever has nothing to do with it.
const OTHERS: u32 = 0o002;

/// Reads a file, if it is there. One that others than root and the caller can write says what they like: `writers` are the
/// bits of its mode that may not be set.
pub(super) fn read(path: &Path, writers: u32) -> Result<Option<Text>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    // A pipe would be waited for.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(format!("{}: is no file", path.display()));
    }
    let trusted = [0, nix::unistd::geteuid().as_raw()].contains(&about.uid());
    if !trusted || about.mode() & writers != 0 {
        let what = "can be written by others: it must belong to root or to you, and not be writable for everybody";
        return Err(format!("{}: {what}", path.display()));
    }
    let mut text = String::new();
    let limit = node::LONGEST as u64 + 1;
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(Text { file: path.display().to_string(), text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["../x", "a/b", "", ".", "..", "a\0", "/etc/passwd"] {
            assert!(Search::of_host().profile(name, &Context::default()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_pipe_is_no_profile_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.yaml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(read(&pipe, OTHERS).unwrap_err().contains("is no file"));
    }

    #[test]
    fn a_file_is_found_by_name_before_a_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let search = Search { folders: vec![folder.path().to_owned()], paths: true };
        let file = folder.path().join("default.yaml");
        let get = |name: &str| search.profile(name, &Context::default());
        assert_eq!(get("default"), Ok(Profile::default()));
        std::fs::write(&file, "name: default\nresources: {pids_max: 7}\n").unwrap();
        assert_eq!(get("default").unwrap().limits.pids, Some(7));
        assert_eq!(search.list()[0], ("default".to_owned(), file.display().to_string()));
        std::fs::write(folder.path().join("own.yaml"), "extends: virtualised\nresources: {pids_max: x}\n").unwrap();
        let said = get("own").unwrap_err();
        assert!(said.contains("own.yaml:2: resources.pids_max: "), "{said}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(get("default").unwrap_err().contains("written by others"));
        assert!(get("nobody").unwrap_err().contains("there is no profile \"nobody\""));
    }
}
