//! A compiled profile in its folder: written whole, and read back only as it was written.

use super::{Compiled, FORMAT, MANIFEST, Manifest, hash};
use crate::profile::Profile;
use crate::profile::hashed::{Hashed, sha256};
use crate::profile::lower::Context;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zviz_seccomp::{Arch, Program};

const AGAIN: &str = "compile it again (zviz compile)";
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
    if let Some(meant) = manifest.home.as_ref().filter(|meant| context.home.as_ref() != Some(*meant)) {
        let here = context.home.as_deref().unwrap_or("none");
        return Err(format!("{}: ~ is {meant} there, and {here} here: {AGAIN}", at(&file)));
    }
    let mut program = None;
    for Hashed { file, sha256: expected, .. } in &manifest.artefacts {
        let bytes = read(folder, file)?;
        if sha256(&bytes) != *expected {
            return Err(format!("{}: is not what was compiled: {AGAIN}", at(file)));
        }
        if file.ends_with(".bpf") {
            program = Some(Program::from_bytes(&bytes).map_err(|error| format!("{}: {error}", at(file)))?);
        }
    }
    let program = program.ok_or_else(|| format!("{}: names no program: {AGAIN}", at(&file)))?;
    Ok(Profile { program: Some(program), ..manifest.profile })
}

/// What is said of a profile that was compiled into a folder, and the file that says it.
///
/// # Errors
/// As [`load`], but that no other file is looked at, and no home folder.
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
    let says = |what: &dyn std::fmt::Display| format!("{}/{file}: {what}", folder.display());
    // Before the rest, which another version may have written otherwise.
    let Made { format, zviz, architecture } = serde_json::from_slice(&text).map_err(|error| says(&error))?;
    let (version, arch) = (env!("CARGO_PKG_VERSION"), Arch::native().to_string());
    if (format, zviz.as_str(), &architecture) != (FORMAT, version, &arch) {
        let here = format!("this reads {FORMAT} of {version} for {arch}");
        return Err(says(&format!("format {format} of zviz {zviz} for {architecture}, {here}: {AGAIN}")));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| says(&error))?;
    if hash(&manifest.profile)? != manifest.profile_sha256 {
        return Err(says(&format!("its profile is not what was compiled: {AGAIN}")));
    }
    Ok((file, manifest))
}

/// Who made a manifest.
#[derive(serde::Deserialize)]
struct Made {
    format: u32,
    zviz: String,
    architecture: String,
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
mod tests;
