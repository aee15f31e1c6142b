//! AppArmor's own files: what is loaded, and who is confined. securityfs, Documentation/admin-guide/LSM/apparmor.rst.

use super::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use zviz_sys::fd;

const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// Loads, over one of the same name if there is one: two that load the same at once do not meet.
const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";
const REMOVE: &str = "/sys/kernel/security/apparmor/.remove";
const ENFORCE: &str = "enforce";
/// linux/magic.h.
const SECURITYFS_MAGIC: i64 = 0x7363_6673;
/// The first pid namespace's inode, PROC_PID_INIT_INO of linux/proc_ns.h: every process of the machine is in it.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

fn open(path: &'static str, what: &'static str, name: &str, options: &OpenOptions) -> Result<File, Error> {
    let failed = |source| Error::Kernel { what, name: name.to_owned(), source };
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NoInterface(path.into())),
        opened => opened.map_err(failed)?,
    };
    // What a policy is written to, and believed of, is the kernel.
    match fd::filesystem_magic(file.as_fd()) {
        Ok(SECURITYFS_MAGIC) => Ok(file),
        Ok(_) => Err(Error::NoInterface(path.into())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a profile is there and enforced.
pub(super) fn is_loaded(name: &str) -> Result<bool, Error> {
    Ok(mode(name)?.as_deref() == Some(ENFORCE))
}

/// What is done with what a profile does not allow, such as `enforce`; none if it is not there.
fn mode(name: &str) -> Result<Option<String>, Error> {
    const WHAT: &str = "look among AppArmor's profiles for";
    let file = open(LOADED, WHAT, name, OpenOptions::new().read(true))?;
    let text =
        io::read_to_string(file).map_err(|source| Error::Kernel { what: WHAT, name: name.to_owned(), source })?;
    let mode = |line: &str| line.strip_prefix(name)?.strip_prefix(" (")?.strip_suffix(')').map(str::to_owned);
    Ok(text.lines().find_map(mode))
}

/// Loads what apparmor_parser(8) has made of a profile.
pub(super) fn load(name: &str, binary: &[u8]) -> Result<(), Error> {
    write(REPLACE, "load the AppArmor profile", name, binary)
}

/// Unloads one. One that is not there is none to unload.
pub(super) fn remove(name: &str) -> Result<(), Error> {
    match mode(name)? {
        Some(_) => write(REMOVE, "unload the AppArmor profile", name, name.as_bytes()),
        None => Ok(()),
    }
}

/// In one call: the kernel takes a policy whole.
fn write(path: &'static str, what: &'static str, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut file = open(path, what, name, OpenOptions::new().write(true))?;
    let failed = |source| Error::Kernel { what, name: name.to_owned(), source };
    match file.write(bytes).map_err(failed)? {
        all if all == bytes.len() => Ok(()),
        _ => Err(failed(io::ErrorKind::WriteZero.into())),
    }
}

/// Who is confined by a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confined {
    /// No process that lives.
    Nobody,
    /// Some process.
    Somebody,
    /// Who does not see every process of the machine cannot know that none is.
    Unknown,
}

/// Whom a profile confines: by itself alone, or among others.
pub(super) fn confined(name: &str) -> Confined {
    let sees_all = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new(FIRST_PID_NAMESPACE));
    let Some(processes) = fs::read_dir("/proc").ok().filter(|_| sees_all) else { return Confined::Unknown };
    let numbers = processes.flatten().map(|entry| entry.file_name());
    let mut pids = numbers.filter(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let any = pids.any(|pid| {
        let process = Path::new("/proc").join(pid);
        // One that ended meanwhile has no file any more.
        let label = fs::read_to_string(process.join("attr/apparmor/current"))
            .or_else(|_| fs::read_to_string(process.join("attr/current")));
        label.is_ok_and(|label| has(&label, name)) && lives(&process)
    });
    if any { Confined::Somebody } else { Confined::Nobody }
}

/// Whether a label such as `a//&b (enforce)` has a profile in it.
fn has(label: &str, name: &str) -> bool {
    let label = label.trim_end_matches(['\n', '\0']);
    let names = label.rsplit_once(" (").map_or(label, |(names, _)| names);
    names.split("//&").any(|one| one == name || one.rsplit_once("://").is_some_and(|(_, inner)| inner == name))
}

/// Whether any thread of a process still runs: one that waits to be reaped has its label still. proc_pid_stat(5).
fn lives(process: &Path) -> bool {
    let Ok(threads) = fs::read_dir(process.join("task")) else { return false };
    threads.flatten().any(|thread| {
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return false };
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, Some('Z' | 'X' | 'x'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_its_profiles() {
        for label in ["zviz-1 (enforce)\n", "zviz-1", "docker-default//&zviz-1 (enforce)", ":ns://zviz-1//&b (mixed)\0"]
        {
            assert!(has(label, "zviz-1"), "{label}");
        }
        for label in ["unconfined\n", "zviz-12 (enforce)\n", "azviz-1", "zviz-1//child (enforce)", ""] {
            assert!(!has(label, "zviz-1"), "{label}");
        }
    }

    #[test]
    fn who_runs_lives() {
        assert!(lives(Path::new("/proc/self")));
        assert!(!lives(Path::new("/proc/0")));
    }
}
