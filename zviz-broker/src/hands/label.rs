//! The label that AppArmor or SELinux judges a caller by. A hand takes it on, so that a call that the broker does is judged by
//! it too; where that is not allowed there is no hand, and the call fails.
//!
//! AppArmor: `NAME (MODE)`, or `unconfined`; changed by a command (aa_change_profile(2)). SELinux: a context, which is written
//! as it is (setcon(3)) and needs the policy's word for it.

use super::proc::Proc;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use zviz_sys::fd;

const FILE: &str = "attr/current";
/// It ends with a line break or a null byte.
const ENDS: [char; 2] = ['\n', '\0'];

/// Whether anything gives labels here: a kernel without says EINVAL.
static LABELS: OnceLock<bool> = OnceLock::new();

/// That of a thread; empty where nothing gives labels.
pub(super) fn of(proc: &Proc, thread: i32) -> Result<String, Errno> {
    let there = *LABELS.get_or_init(|| own(proc) != Err(Errno::EINVAL));
    let label = if there { trimmed(proc.text(thread, FILE)?) } else { String::new() };
    // Two that were not read as they are would be one.
    if label.contains(char::REPLACEMENT_CHARACTER) { Err(Errno::EINVAL) } else { Ok(label) }
}

fn own(proc: &Proc) -> Result<String, Errno> {
    proc.own_text(FILE).map(trimmed)
}

fn trimmed(label: String) -> String {
    label.trim_end_matches(ENDS).to_owned()
}

/// A change that is made when nothing else is left to do. The file is opened by who may, and written to later.
pub(super) struct Change(Option<(OwnedFd, String)>);

/// To a label, unless it is this process's own.
pub(super) fn change(proc: &Proc, label: &str) -> Result<Change, Errno> {
    if label.is_empty() || own(proc)? == label {
        return Ok(Change(None));
    }
    Ok(Change(Some((proc.own_writable(FILE)?, command(label)))))
}

impl Change {
    pub(super) fn make(self) -> Result<(), Errno> {
        self.0.map_or(Ok(()), |(file, command)| fd::write_value(file.as_fd(), command.as_bytes()))
    }
}

fn command(label: &str) -> String {
    match label.rsplit_once(" (") {
        Some((name, mode)) if mode.ends_with(')') => format!("changeprofile {name}"),
        // Not confined, by a process that is: not its own to say, and the kernel says so.
        _ if label == "unconfined" => format!("changeprofile {label}"),
        _ => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_written_as_its_module_has_it() {
        assert_eq!(command("docker-default (enforce)"), "changeprofile docker-default");
        assert_eq!(command("a (b)//&c (mixed)"), "changeprofile a (b)//&c");
        assert_eq!(command("unconfined"), "changeprofile unconfined");
        assert_eq!(command("system_u:system_r:container_t:s0:c1,c2"), "system_u:system_r:container_t:s0:c1,c2");
        assert_eq!(trimmed("unconfined\n".into()), "unconfined");
    }
}
