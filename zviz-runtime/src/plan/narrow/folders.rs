//! The mounts of a spec within a profile: folders in memory that it names, how much each holds, and what none executes.

use crate::profile::{Limits, files};
use oci_spec::runtime as oci;

/// Inodes of a tmpfs of a profile: one for so many bytes.
const BYTES_PER_INODE: u64 = 8 << 10;
/// A tmpfs of a profile that says no size.
const TMPFS_BYTES: u64 = 1 << 30;

/// Narrows them. A sandbox has made its own folders of those that the profile names.
pub(super) fn narrow(mounts: &mut Vec<oci::Mount>, files: &files::Files, limits: &Limits, sandbox: bool) {
    for path in files.tmpfs.iter().filter(|_| !sandbox) {
        if mounts.iter().any(|mount| mount.destination().to_str() == Some(path.as_str())) {
            continue;
        }
        let mut mount = oci::Mount::default();
        let options = ["nosuid", "nodev", "mode=1777"].map(str::to_owned).into_iter();
        mount.set_destination(path.into()).set_typ(Some("tmpfs".into())).set_source(Some("tmpfs".into()));
        mount.set_options(Some(options.chain(sizes(limits.tmpfs.unwrap_or(TMPFS_BYTES))).collect()));
        mounts.push(mount);
    }
    for mount in mounts {
        let mut options = mount.options().clone().unwrap_or_default();
        if let Some(most) = limits.tmpfs.filter(|_| mount.typ().as_deref() == Some("tmpfs")) {
            cap(&mut options, most);
        }
        match mount.typ().as_deref() {
            Some("tmpfs") => limits.tmpfs_inodes.iter().for_each(|most| at_most(&mut options, "nr_inodes", *most)),
            Some("devpts") => limits.ptys.iter().for_each(|most| at_most(&mut options, "max", *most)),
            _ => {}
        }
        let mapped = !options.iter().any(|option| option == "noexec");
        if files.executable.is_some() && mapped && is_writable(&options) && !executes(mount, files) {
            // Landlock judges execve(2) alone. This keeps a linker that is called by name from mapping a program as well.
            let tree = options.iter().any(|option| option == "rbind");
            options.push(if tree { "rnoexec" } else { "noexec" }.to_owned());
        }
        mount.set_options(Some(options).filter(|options| !options.is_empty()));
    }
}

fn sizes(bytes: u64) -> [String; 2] {
    [format!("size={bytes}"), format!("nr_inodes={}", (bytes / BYTES_PER_INODE).max(1024))]
}

/// Lowers the size of a tmpfs, which is half of the machine's memory where none is said.
fn cap(options: &mut Vec<String>, most: u64) {
    let size = options.iter().rev().find_map(|option| option.strip_prefix("size="));
    if size.and_then(bytes).is_some_and(|own| own <= most) {
        return;
    }
    options.retain(|option| !option.starts_with("size=") && !option.starts_with("nr_inodes="));
    options.extend(sizes(most));
}

/// Lowers a number among the options, where none, or 0 as tmpfs(5) has it, is no limit.
fn at_most(options: &mut Vec<String>, name: &str, most: u64) {
    let own = options.iter().rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    if own.and_then(bytes).is_some_and(|own| own <= most) {
        return;
    }
    options.retain(|option| option.strip_prefix(name).is_none_or(|rest| !rest.starts_with('=')));
    options.push(format!("{name}={most}"));
}

/// A size as tmpfs(5) has it; none for a part of the machine's memory, 0, which is no limit, and what is none.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

fn is_writable(options: &[String]) -> bool {
    !options.iter().any(|option| matches!(option.as_str(), "ro" | "rro"))
}

/// Whether a program may be executed anywhere in a mount.
fn executes(mount: &oci::Mount, files: &files::Files) -> bool {
    let Some(place) = mount.destination().to_str() else { return false };
    files.executes(place) || files.executable.iter().flatten().any(|path| files::within(path, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(typ: &str, place: &str, options: &[&str]) -> oci::Mount {
        let mut mount = oci::Mount::default();
        mount.set_typ(Some(typ.to_owned())).set_destination(place.into());
        mount.set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
        mount
    }

    fn narrowed(mount: oci::Mount, executable: Option<&[&str]>, tmpfs: Option<u64>) -> String {
        let executable = executable.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        let files = files::Files { executable, ..Default::default() };
        let mut mounts = vec![mount];
        narrow(&mut mounts, &files, &Limits { tmpfs, ..Default::default() }, true);
        mounts[0].options().clone().unwrap_or_default().join(",")
    }

    #[test]
    fn what_is_written_and_not_executed_is_not_mapped_either() {
        let with =
            |place: &str, options: &[&str]| narrowed(mount("bind", place, options), Some(&["/usr", "/w/bin"]), None);
        assert_eq!(with("/home", &["rbind"]), "rbind,rnoexec");
        assert_eq!(with("/home", &["bind"]), "bind,noexec");
        assert_eq!(with("/home", &["rbind", "rro"]), "rbind,rro");
        assert_eq!(with("/usr/local", &["rbind"]), "rbind");
        assert_eq!(with("/w", &["rbind"]), "rbind");
        assert_eq!(narrowed(mount("bind", "/home", &["rbind"]), None, None), "rbind");
    }

    #[test]
    fn no_folder_in_memory_holds_more_files_and_there_are_no_more_terminals() {
        let limits = Limits { tmpfs_inodes: Some(100), ptys: Some(3), ..Default::default() };
        let with = |typ: &str, options: &[&str]| {
            let mut mounts = vec![mount(typ, "/x", options)];
            narrow(&mut mounts, &files::Files::default(), &limits, true);
            mounts[0].options().clone().unwrap_or_default().join(",")
        };
        assert_eq!(with("tmpfs", &["nr_inodes=1k", "size=1"]), "size=1,nr_inodes=100");
        assert_eq!(with("tmpfs", &["nr_inodes=0"]), "nr_inodes=100");
        assert_eq!(with("tmpfs", &["nr_inodes=99"]), "nr_inodes=99");
        assert_eq!(with("devpts", &["newinstance", "max=1024"]), "newinstance,max=3");
        assert_eq!(with("devpts", &["max=2"]), "max=2");
        assert_eq!(with("proc", &[]), "");
    }

    #[test]
    fn no_folder_in_memory_holds_more() {
        let with = |options: &[&str]| narrowed(mount("tmpfs", "/tmp", options), None, Some(64 << 20));
        let capped = "size=67108864,nr_inodes=8192";
        assert_eq!(with(&["size=1k", "nr_inodes=5"]), "size=1k,nr_inodes=5");
        for larger in
            ["size=64G", "size=50%", "size=0", "size=67108865", "size=99999999999999999999", "size=20000000000g"]
        {
            assert_eq!(with(&["nodev", larger, "nr_inodes=0"]), format!("nodev,{capped}"), "{larger}");
        }
        assert_eq!(with(&[]), capped);
        assert_eq!(narrowed(mount("bind", "/tmp", &["rbind"]), None, Some(1)), "rbind");
    }
}
