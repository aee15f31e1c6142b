//! A profile in the forms that its layers take, made beforehand: the same bytes for the same text, wherever and whenever.
//!
//! ```text
//! NAME.bpf            the seccomp program, as seccomp(2) takes it
//! NAME.broker.json    what the broker is told
//! NAME.nft            rules for packets, as nft(8) takes them, where the network is one of the container's own. Who runs it adds
//!                     what only a host knows: its own addresses, nameservers, published ports
//! NAME.apparmor       the AppArmor profile, as apparmor_parser(8) takes it
//! NAME.manifest.json  the texts it was made of and what each file is, by hash; the whole profile; each rule with its line, what
//!                     enforces it, and where that is
//! ```

use super::Profile;
use super::apparmor::{Wanted, generate};
use super::find::Search;
use super::lower::{Context, lower};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zviz_network::rules::{TABLE_PREFIX, inside};
use zviz_profile::Text;
use zviz_profile::schema::{Does, leaves};
use zviz_seccomp::{Arch, Policy, Program, compile, policy_with};

/// The form of the manifest that this version writes and reads.
const FORMAT: u32 = 3;
/// The longest file that is read back.
const LONGEST: u64 = 8 << 20;
/// The end of a manifest's name.
const MANIFEST: &str = ".manifest.json";

/// What a generated AppArmor profile is made of: beginnings of keys.
const APPARMOR: &[&str] = &[
    "capabilities.bounding",
    "capabilities.drop_all",
    "capabilities.keep",
    "filesystem.base",
    "filesystem.executable",
    "filesystem.hidden",
    "filesystem.readonly",
    "filesystem.rootfs",
    "filesystem.tmpfs",
    "filesystem.writable",
    "lsm.",
    "nested",
    "network.sockets",
    "syscalls.allow",
    "syscalls.deny",
];

/// What belongs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this structure.
    pub format: u32,
    /// The version that made it: another one decides anew.
    pub zviz: String,
    /// The architecture that the program is for.
    pub architecture: String,
    /// The profile's name.
    pub name: String,
    /// The texts, the profile's own first.
    pub inputs: Vec<Hashed>,
    /// The other files.
    pub artefacts: Vec<Hashed>,
    /// Each value that is written.
    pub rules: Vec<Rule>,
    /// All of it, as it is laid over a spec.
    pub profile: Profile,
}

/// A file by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashed {
    /// Without folders in a manifest.
    pub file: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

impl Hashed {
    /// Of a text.
    #[must_use]
    pub fn of(text: &Text) -> Hashed {
        hashed(&text.file, text.text.as_bytes())
    }
}

/// A value and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As `filesystem.writable[0]`.
    pub key: String,
    /// File and line.
    pub place: String,
    /// As it is written there.
    pub value: String,
    /// What enforces it; empty for what is for readers.
    pub by: String,
    /// Where that is: files of this folder.
    pub artefacts: Vec<String>,
}

/// A compiled profile, not written yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// What belongs together.
    pub manifest: Manifest,
    /// The filter, for who wants to read it.
    pub program: Program,
    /// Names and contents, the manifest last.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Compiles a profile.
///
/// # Errors
/// In words, all that is wrong with it.
pub fn make(search: &Search, name: &str, context: &Context) -> Result<Compiled, String> {
    let (document, texts) = search.document_of(name)?;
    // The same wherever they are.
    let inputs: Vec<Hashed> =
        texts.into_iter().map(|text| Hashed { file: base_name(&text.file).to_owned(), ..text }).collect();
    let lowered = lower(&document, context).map_err(|faults| faults.to_string())?;
    let mut profile = Profile { texts: inputs.clone(), ..lowered };
    for origin in profile.packets.iter_mut().flat_map(|packets| packets.origins.values_mut()) {
        *origin = base_name(origin).to_owned();
    }
    let name = profile.name.clone();
    let program = compile(&policy(&profile)?).map_err(|error| error.to_string())?.program;
    let mut files = vec![(format!("{name}.bpf"), program.as_bytes())];
    if !profile.broker.is_empty() {
        files.push((format!("{name}.broker.json"), json(&profile.broker)?));
    }
    if profile.apparmor == Some(Wanted::Generated) {
        files.push((format!("{name}.apparmor"), generate(&profile).text.into_bytes()));
    }
    if let Some(packets) = &profile.packets {
        let rules = inside(&packets.policies, &format!("{TABLE_PREFIX}{name}"));
        files.push((format!("{name}.nft"), rules.to_string().into_bytes()));
    }
    let artefacts: Vec<Hashed> = files.iter().map(|(file, bytes)| hashed(file, bytes)).collect();
    let known = leaves();
    let rule = |(key, value, place): (String, &str, &zviz_profile::Place)| {
        let by = known.iter().find(|(path, _)| *path == schema_path(&key)).map_or("", |(_, key)| match key.does {
            Does::Enforced(by) => by,
            Does::Holds | Does::Describes | Does::Refused(_) => "",
        });
        let of = |layer: &str, end: &str| {
            let file = format!("{name}.{end}");
            (by.split(", ").any(|one| one == layer) && files.iter().any(|(known, _)| *known == file)).then_some(file)
        };
        let own = |key: &str| APPARMOR.iter().any(|of| key.starts_with(of));
        let file = format!("{name}.apparmor");
        let apparmor = (own(&key) && files.iter().any(|(known, _)| *known == file)).then_some(file);
        let artefacts = of("seccomp", "bpf")
            .into_iter()
            .chain(of("broker", "broker.json"))
            .chain(of("nftables", "nft"))
            .chain(apparmor)
            .collect();
        let place = format!("{}:{}", base_name(&place.file), place.line);
        Rule { place, value: value.to_owned(), by: by.to_owned(), artefacts, key }
    };
    let manifest = Manifest {
        format: FORMAT,
        zviz: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: Arch::native().to_string(),
        inputs,
        artefacts,
        rules: document.written().into_iter().map(rule).collect(),
        profile,
        name: name.clone(),
    };
    files.push((format!("{name}{MANIFEST}"), json(&manifest)?));
    Ok(Compiled { manifest, program, files })
}

/// The profile's own filter, where a spec brings none.
fn policy(profile: &Profile) -> Result<Policy, String> {
    policy_with(&profile.variant()).map_err(|error| error.to_string())
}

/// The schema's path of a key: no indexes, and `[]` where a list holds maps.
fn schema_path(key: &str) -> String {
    let parts = key.split('.').collect::<Vec<_>>();
    let last = parts.len().saturating_sub(1);
    let part = |(i, part): (usize, &&str)| match part.split_once('[') {
        Some((name, _)) if i < last => format!("{name}[]"),
        Some((name, _)) => name.to_owned(),
        None => (*part).to_owned(),
    };
    parts.iter().enumerate().map(part).collect::<Vec<_>>().join(".")
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn hashed(file: &str, bytes: &[u8]) -> Hashed {
    Hashed { file: file.to_owned(), sha256: sha256(bytes), bytes: bytes.len() as u64 }
}

/// In hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Compiled {
    /// Writes the files into a folder, which is made where its parent exists; each whole, or not at all.
    ///
    /// # Errors
    /// In words, with the file.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        match fs::create_dir(folder) {
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
/// In words: what is missing, changed, of another version, or could have been written by others.
pub fn load(folder: &Path, name: Option<&str>) -> Result<Profile, String> {
    let (file, manifest) = manifest(folder, name)?;
    let at = |file: &str| format!("{}/{file}", folder.display());
    let again = "compile it again (zviz compile)";
    let (version, arch) = (env!("CARGO_PKG_VERSION"), Arch::native().to_string());
    if (manifest.format, manifest.zviz.as_str(), &manifest.architecture) != (FORMAT, version, &arch) {
        let what = format!("is of zviz {} for {}, this is {version} for {arch}", manifest.zviz, manifest.architecture);
        return Err(format!("{}: {what}: {again}", at(&file)));
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
    let trusted = [0, nix::unistd::geteuid().as_raw()].contains(&about.uid()) && about.mode() & 0o022 == 0;
    if !about.is_file() || !trusted {
        return Err(format!("{}: must be a file of yours or root's that nobody else can write", path.display()));
    }
    let mut bytes = Vec::new();
    opened.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::built_in;

    fn compiled(name: &str) -> Compiled {
        make(&Search::of_host(), name, &Context::default()).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    #[test]
    fn every_built_in_is_compiled_to_the_same_bytes_and_read_back() {
        for (name, _) in built_in::BUILT_IN {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) = (compiled(name), compiled(name));
            assert_eq!(one.files, other.files, "{name}");
            one.write(folder.path()).unwrap();
            let read = load(folder.path(), None).unwrap();
            let profile = Profile { program: Some(one.program.clone()), ..one.manifest.profile.clone() };
            assert_eq!(read, profile, "{name}");
            assert_eq!(read, load(folder.path(), Some(name)).unwrap());
        }
    }

    #[test]
    fn every_rule_has_its_line_and_its_file() {
        let nested = compiled("nested").manifest;
        let rule = |key: &str| nested.rules.iter().find(|rule| rule.key == key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(rule("syscalls.allow[0]").place, "built-in default:9");
        assert_eq!(rule("syscalls.broker[0]").artefacts, ["nested.bpf", "nested.broker.json"]);
        assert_eq!(rule("capabilities.keep[1]").by, "capabilities");
        assert_eq!(
            nested.inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>(),
            ["built-in nested", "built-in default"]
        );
        assert_eq!(schema_path("resources.io_max[0].rbps"), "resources.io_max[].rbps");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        fs::write(other.path(), "kept").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join(".virtualised.bpf.new")).unwrap();
        compiled("virtualised").write(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(other.path()).unwrap(), "kept");
        load(folder.path(), None).unwrap();
    }

    #[test]
    fn what_was_changed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        compiled("virtualised").write(folder.path()).unwrap();
        let path = folder.path().join("virtualised.bpf");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[8..]).unwrap();
        assert!(load(folder.path(), None).unwrap_err().contains("is not what was compiled"));
        fs::write(&path, &bytes).unwrap();
        load(folder.path(), None).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(load(folder.path(), None).unwrap_err().contains("nobody else can write"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(load(folder.path(), None).is_err());
        let manifest = folder.path().join("virtualised.manifest.json");
        let text = fs::read_to_string(&manifest).unwrap().replace("\"format\": 3", "\"format\": 2");
        fs::write(&manifest, text).unwrap();
        assert!(load(folder.path(), None).unwrap_err().contains("compile it again"));
    }
}
