//! apparmor_parser(8), the compiler of AppArmor's language: there is no other. It is run as a program of the system's, before
//! anything of the container is made, without an environment or settings of anybody's; what it makes is kept until the machine
//! is started anew, since it is made for this kernel.

use super::Error;
use crate::profile::apparmor::Policy;
use crate::profile::hashed::sha256;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

const PLACES: &[&str] = &["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser", "/usr/bin/apparmor_parser"];
/// No settings of the machine's; compiled, neither loaded nor looked for in the parser's own cache, to the standard output.
const ARGUMENTS: &[&str] = &["--config-file=/dev/null", "--quiet", "--skip-kernel-load", "--skip-cache", "--stdout"];
/// What the parser reads beside the policy, which begins with its name.
const ABI: &str = "/etc/apparmor.d/abi/3.0";
/// What is kept of its last words, in bytes.
const WORDS: usize = 1000;
/// Compiled policies that are kept. One more, and the folder is emptied: those that are used come back.
const KEPT: usize = 128;
/// The longest that is taken back, in bytes.
const LONGEST: u64 = 16 << 20;

/// A policy as the kernel takes it: as it was kept in this folder, or compiled now.
pub(super) fn compile(policy: &Policy, kept: &Path) -> Result<Vec<u8>, Error> {
    let (program, metadata) = find()?;
    let file = kept.join(key(policy, &metadata));
    if let Some(binary) = read(&file) {
        return Ok(binary);
    }
    let binary = run(program, policy)?;
    // What cannot be kept is compiled again.
    let _ = keep(kept, &file, &binary);
    Ok(binary)
}

fn find() -> Result<(&'static Path, Metadata), Error> {
    for place in PLACES.iter().map(Path::new) {
        let Ok(metadata) = fs::metadata(place) else { continue };
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 || !metadata.is_file() {
            return Err(Error::Untrusted(place.to_owned()));
        }
        return Ok((place, metadata));
    }
    Err(Error::NoParser)
}

/// By what the policy says and who compiles it.
fn key(policy: &Policy, parser: &Metadata) -> String {
    let of = |file: &Metadata| {
        format!("{}:{}:{}:{}.{}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())
    };
    let abi = fs::metadata(ABI).map_or_else(|_| String::new(), |abi| of(&abi));
    sha256(format!("{} {abi}\n{}", of(parser), policy.text).as_bytes())
}

fn run(program: &Path, policy: &Policy) -> Result<Vec<u8>, Error> {
    let failed = |said: String| Error::Parser { name: policy.name.clone(), said };
    let io = |error: io::Error| failed(error.to_string());
    let mut child = Command::new(program)
        .args(ARGUMENTS)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    // It reads all before it writes anything but a warning. If it ends before, it says why.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(policy.text.as_bytes()));
    let output = child.wait_with_output().map_err(io)?;
    if !output.status.success() || output.stdout.is_empty() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim().replace(|c: char| c.is_control() && c != '\n', " ").replace('\n', "; ");
        let skipped = words.char_indices().rev().nth(WORDS).map_or(0, |(at, _)| at);
        return Err(failed(format!("{}: {}", output.status, words.get(skipped..).unwrap_or_default())));
    }
    written.map_err(io)?;
    Ok(output.stdout)
}

/// The folder is root's alone; what is in it was written whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() == 0 || metadata.len() > LONGEST || metadata.uid() != 0 {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn keep(folder: &Path, path: &Path, binary: &[u8]) -> io::Result<()> {
    let entries: Vec<_> = fs::read_dir(folder)?.flatten().collect();
    if entries.len() >= KEPT {
        entries.iter().for_each(|entry| drop(fs::remove_file(entry.path())));
    }
    let fresh = path.with_extension(std::process::id().to_string());
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(binary).and_then(|()| fs::rename(&fresh, path));
    written.inspect_err(|_| drop(fs::remove_file(&fresh)))
}
