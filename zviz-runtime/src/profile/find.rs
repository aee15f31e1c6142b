//! Where profiles are looked for: by path, in the user's and the host's folders, among the built-in ones.

use super::Profile;
use super::built_in;
use super::hashed::Hashed;
use super::lower::{Context, lower};
use std::cell::RefCell;
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
            return Ok(built_in::default());
        }
        let (document, texts) = self.document_of(name)?;
        let profile = lower(&document, context).map_err(|faults| faults.to_string())?;
        Ok(Profile { texts, ..profile })
    }

    /// Finds a profile, and reads it.
    ///
    /// # Errors
    /// As [`Search::profile`].
    pub fn document(&self, name: &str) -> Result<Document, String> {
        Ok(self.document_of(name)?.0)
    }

    /// Finds a profile, and reads it: with the texts that it is made of, by their hashes, its own first.
    ///
    /// # Errors
    /// As [`Search::profile`].
    pub fn document_of(&self, name: &str) -> Result<(Document, Vec<Hashed>), String> {
        let own = self.text(name)?;
        let texts = RefCell::new(vec![Hashed::of(&own)]);
        let base = |other: &str| {
            let text = self.base(other)?;
            texts.borrow_mut().push(Hashed::of(&text));
            Ok(text)
        };
        let document = zviz_profile::read(&own, &base).map_err(|faults| faults.to_string())?;
        Ok((document, texts.into_inner()))
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
/// The name of the same profile in every folder: a path from the current one is made absolute.
///
/// # Errors
/// The current folder is gone, or the path is no text.
pub fn anywhere(name: &str) -> std::io::Result<String> {
    if !is_path(name) {
        return Ok(name.to_owned());
    }
    let path = std::path::absolute(name)?;
    path.into_os_string().into_string().map_err(|_| std::io::ErrorKind::InvalidInput.into())
}

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
        let own = get("default").unwrap();
        assert_eq!(own.texts[0].file, "built-in default");
        assert_eq!(Profile { texts: Vec::new(), ..own }, Profile::default());
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
