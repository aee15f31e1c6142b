//! A compiled profile in its folder: written whole, and read back only as it was written.

use super::{Compiled, FORMAT, MANIFEST, Manifest};
use crate::profile::Profile;
use crate::profile::hashed::{Hashed, sha256};
use crate::profile::lower::Context;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zviz_seccomp::{Arch, Program};

/// The longest file that is read back.
const LONGEST: u64 = 8 << 20;

impl Compiled {
    /// Writes the files into a folder, which is made where its parent exists; each whole, or not at all.
    ///
    /// # Errors
    /// In words, with the file.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        match fs::DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(folder, error)),
            _ => {}
        }
        for (file, bytes) in &self.files {
            let (path, fresh) = (folder.join(file), folder.join(format!(".{file}.new")));
            // Made anew, and never through a link that somebody has left in a folder that others write.
            let _ = fs::remove_file(&fresh);
            let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh);
            made.and_then(|mut file| file.write_all(bytes)).map_err(|error| failed(&fresh, error))?;
            fs::rename(&fresh, &path).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }
}

/// The profile that was compiled into a folder, with its program: the one of this name, or the only one there.
///
/// # Errors
/// In words: what is missing, changed, of another version or for another home folder, or could have been written by others.
pub fn load(folder: &Path, name: Option<&str>, context: &Context) -> Result<Profile, String> {
    let (file, manifest) = manifest(folder, name)?;
    let at = |file: &str| format!("{}/{file}", folder.display());
    let again = "compile it again (zviz compile)";
    let (version, arch) = (env!("CARGO_PKG_VERSION"), Arch::native().to_string());
    if (manifest.format, manifest.zviz.as_str(), &manifest.architecture) != (FORMAT, version, &arch) {
        let (format, zviz, made_for) = (manifest.format, manifest.zviz, manifest.architecture);
        let what =
            format!("format {format} of zviz {zviz} for {made_for}, this reads {FORMAT} of {version} for {arch}");
        return Err(format!("{}: {what}: {again}", at(&file)));
    }
    if let Some(meant) = manifest.home.as_ref().filter(|meant| context.home.as_ref() != Some(*meant)) {
        let here = context.home.as_deref().unwrap_or("none");
        return Err(format!("{}: ~ is {meant} there, and {here} here: {again}", at(&file)));
    }
    let mut program = None;
    for Hashed { file, sha256: expected, .. } in &manifest.artefacts {
        let bytes = read(folder, file)?;
        if sha256(&bytes) != *expected {
            return Err(format!("{}: is not what was compiled: {again}", at(file)));
        }
        if file.ends_with(".bpf") {
            program = Some(Program::from_bytes(&bytes).map_err(|error| format!("{}: {error}", at(file)))?);
        }
    }
    let program = program.ok_or_else(|| format!("{}: names no program: {again}", at(&file)))?;
    Ok(Profile { program: Some(program), ..manifest.profile })
}

/// What is said of a profile that was compiled into a folder, and the file that says it.
///
/// # Errors
/// As [`load`], but that nothing it is about is looked at.
pub fn manifest(folder: &Path, name: Option<&str>) -> Result<(String, Manifest), String> {
    let about = fs::metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // In one like /tmp nobody renames the files of others.
    let shared = about.mode() & 0o022 != 0 && about.mode() & libc::S_ISVTX == 0;
    if shared || !trusted(&about) {
        let folder = folder.display();
        return Err(format!(
            "{folder}: must be a folder of yours or root's that nobody else can write: chmod go-w {folder}"
        ));
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => only(folder)?,
    };
    let file = format!("{name}{MANIFEST}");
    let text = read(folder, &file)?;
    let manifest = serde_json::from_slice(&text).map_err(|error| format!("{}/{file}: {error}", folder.display()))?;
    Ok((file, manifest))
}

fn only(folder: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names.filter_map(|name| name.strip_suffix(MANIFEST).map(str::to_owned)).collect();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(format!("{}: holds no compiled profile", folder.display())),
        _ => Err(format!("{}: holds {}: --profile says which", folder.display(), names.join(", "))),
    }
}

/// Whether it is the caller's, or root's.
fn trusted(about: &fs::Metadata) -> bool {
    [0, nix::unistd::geteuid().as_raw()].contains(&about.uid())
}

/// A file of the folder. One that others can write says what they like.
fn read(folder: &Path, file: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(file);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if file.contains('/') {
        return Err(format!("{}: is no file of this folder", path.display()));
    }
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let opened: File = fs::OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(failed)?;
    let about = opened.metadata().map_err(failed)?;
    if !about.is_file() || !trusted(&about) || about.mode() & 0o022 != 0 {
        return Err(format!("{}: must be a file of yours or root's that nobody else can write", path.display()));
    }
    let mut bytes = Vec::new();
    opened.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::artefacts::make;
    use crate::profile::artefacts::tests::compiled;
    use crate::profile::built_in;
    use crate::profile::find::Search;

    #[test]
    fn every_built_in_is_compiled_to_the_same_bytes_and_read_back() {
        for (name, _) in built_in::BUILT_IN {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) = (compiled(name), compiled(name));
            assert_eq!(one.files, other.files, "{name}");
            one.write(folder.path()).unwrap();
            let read = load(folder.path(), None, &Context::default()).unwrap();
            let profile = Profile { program: Some(one.program.clone()), ..one.manifest.profile.clone() };
            assert_eq!(read, profile, "{name}");
            assert_eq!(read, load(folder.path(), Some(name), &Context::default()).unwrap());
        }
    }

    #[test]
    fn who_has_another_home_folder_compiles_anew() {
        let folder = tempfile::tempdir().unwrap();
        let of = |home: &str| Context { home: Some(home.to_owned()) };
        let made = |text: &str| {
            let path = folder.path().join("own.yaml");
            fs::write(&path, text).unwrap();
            make(&Search::of_user(), path.to_str().unwrap(), &of("/home/a")).unwrap()
        };
        made("name: own\nfilesystem: {hidden: [~/secret]}\n").write(folder.path()).unwrap();
        load(folder.path(), None, &of("/home/a")).unwrap();
        for other in [of("/home/b"), Context::default()] {
            assert!(load(folder.path(), None, &other).unwrap_err().contains("~ is /home/a there"));
        }
        // Where none is written, it is for everybody.
        made("name: own\nfilesystem: {hidden: [/secret]}\n").write(folder.path()).unwrap();
        load(folder.path(), None, &of("/home/b")).unwrap();
    }

    /// Whoever can rename the files gives one profile the name of another.
    #[test]
    fn a_folder_that_others_write_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        compiled("virtualised").write(folder.path()).unwrap();
        let with = |mode: u32| {
            fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            load(folder.path(), None, &Context::default())
        };
        with(0o755).unwrap();
        with(0o1777).unwrap();
        for mode in [0o777, 0o775] {
            assert!(with(mode).unwrap_err().contains("must be a folder of yours or root's"), "{mode:o}");
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        fs::write(other.path(), "kept").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join(".virtualised.bpf.new")).unwrap();
        compiled("virtualised").write(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(other.path()).unwrap(), "kept");
        load(folder.path(), None, &Context::default()).unwrap();
    }

    #[test]
    fn what_was_changed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        compiled("virtualised").write(folder.path()).unwrap();
        let path = folder.path().join("virtualised.bpf");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[8..]).unwrap();
        assert!(load(folder.path(), None, &Context::default()).unwrap_err().contains("is not what was compiled"));
        fs::write(&path, &bytes).unwrap();
        load(folder.path(), None, &Context::default()).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(load(folder.path(), None, &Context::default()).unwrap_err().contains("nobody else can write"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(load(folder.path(), None, &Context::default()).is_err());
        let manifest = folder.path().join("virtualised.manifest.json");
        let text = fs::read_to_string(&manifest).unwrap().replace("\"format\": 4", "\"format\": 3");
        fs::write(&manifest, text).unwrap();
        assert!(load(folder.path(), None, &Context::default()).unwrap_err().contains("compile it again"));
    }
}
