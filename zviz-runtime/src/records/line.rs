//! One record, as the kernel words it.

use super::{Access, Fields};
use std::path::PathBuf;
use zviz_seccomp::Action;

/// The longest: MAX_AUDIT_MESSAGE_LENGTH, linux/audit.h.
pub const LONGEST: usize = 8970;
/// A system call and its caller: the same event as what was denied in it.
const SYSCALL: u32 = 1300;
/// AppArmor's and SELinux's.
const AVC: u32 = 1400;
/// AUDIT_SECCOMP: what a filter did, where it killed or was to be logged.
const SECCOMP: u32 = 1326;
/// AUDIT_LANDLOCK_ACCESS. Linux 6.15.
const LANDLOCK_ACCESS: u32 = 1423;
/// AUDIT_LANDLOCK_DOMAIN: who made a domain, told when it denies for the first time.
const LANDLOCK_DOMAIN: u32 = 1424;
/// As auditd(8) names them, the number where it knows no name.
const NAMES: &[(&str, u32)] = &[
    ("SYSCALL", SYSCALL),
    ("AVC", AVC),
    ("APPARMOR_DENIED", AVC),
    ("SECCOMP", SECCOMP),
    ("LANDLOCK_ACCESS", LANDLOCK_ACCESS),
    ("LANDLOCK_DOMAIN", LANDLOCK_DOMAIN),
    ("UNKNOWN[1326]", SECCOMP),
    ("UNKNOWN[1400]", AVC),
    ("UNKNOWN[1423]", LANDLOCK_ACCESS),
    ("UNKNOWN[1424]", LANDLOCK_DOMAIN),
];

/// When a record was made, and of which event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Since the epoch.
    pub milliseconds: u64,
    /// Records of one event have the same.
    pub serial: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Stamp,
    /// What.
    pub said: Said,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Something was denied.
    Denied(Access),
    /// A Landlock domain, by whom it was made.
    Domain {
        /// Its number, which no other domain has until the machine starts again.
        domain: u64,
        /// In the machine's first pid namespace.
        pid: i32,
    },
    /// The system call of an event.
    Call {
        /// Its caller.
        pid: i32,
        /// AUDIT_ARCH_*, linux/audit.h.
        arch: u32,
        /// Its number there.
        number: u64,
        /// What it was running.
        program: PathBuf,
    },
}

/// The number of a type of record that is read here, and the rest of its text: from a line of /dev/kmsg. Who writes to that file
/// cannot write as the kernel does (facility 0): devkmsg_write, kernel/printk/printk.c.
#[must_use]
pub fn of_kernel_log(line: &str) -> Option<(u32, &str)> {
    let (head, text) = line.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let (number, text) = text.strip_prefix("audit: type=")?.split_once(' ')?;
    (priority >> 3 == 0).then_some((number.parse().ok()?, text))
}

/// As [`of_kernel_log`], from a line of auditd's file.
#[must_use]
pub fn of_file(line: &str) -> Option<(u32, &str)> {
    // What auditd(8) adds, names for numbers, is behind a separator.
    let line = line.split('\u{1d}').next()?;
    let line = match line.strip_prefix("node=") {
        Some(rest) => rest.split_once(' ')?.1,
        None => line,
    };
    let (name, text) = line.strip_prefix("type=")?.split_once(" msg=")?;
    let number = NAMES.iter().find(|(known, _)| *known == name)?.1;
    Some((number, text))
}

/// Whether a record of a type can say something.
#[must_use]
pub fn is_of_use(kind: u32) -> bool {
    matches!(kind, SYSCALL | SECCOMP | AVC | LANDLOCK_ACCESS | LANDLOCK_DOMAIN)
}

/// Reads a record: its type, and `audit(TIME:SERIAL): fields`. None where it says nothing of a denial, and where it is not as the
/// kernel writes.
#[must_use]
pub fn read(kind: u32, text: &str) -> Option<Entry> {
    let text = text.trim_end_matches('\n');
    if !is_of_use(kind) || text.len() > LONGEST || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let (stamp, rest) = text.strip_prefix("audit(")?.split_once("):")?;
    let said = match kind {
        AVC if rest.trim_start().starts_with("avc:") => Said::Denied(selinux(rest.trim_start())?),
        AVC => Said::Denied(apparmor(&Fields::read(rest)?)?),
        SECCOMP => Said::Denied(seccomp(&Fields::read(rest)?)?),
        LANDLOCK_ACCESS => Said::Denied(landlock(&Fields::read(rest)?)?),
        LANDLOCK_DOMAIN => domain(&Fields::read(rest)?)?,
        _ => call(&Fields::read(rest)?)?,
    };
    Some(Entry { at: when(stamp)?, said })
}

/// `SECONDS.MILLISECONDS:SERIAL`.
fn when(text: &str) -> Option<Stamp> {
    let (time, serial) = text.split_once(':')?;
    let (seconds, thousandths) = time.split_once('.')?;
    let (seconds, thousandths): (u64, u64) = (seconds.parse().ok()?, thousandths.parse().ok()?);
    let milliseconds = seconds.checked_mul(1000)?.checked_add(thousandths.min(999))?;
    Some(Stamp { milliseconds, serial: serial.parse().ok()? })
}

fn domain(fields: &Fields<'_>) -> Option<Said> {
    let domain = fields.hexadecimal("domain")?;
    // One that is given back tells no pid.
    (fields.word("status") == Some("allocated")).then_some(())?;
    Some(Said::Domain { domain, pid: fields.number("pid")? })
}

fn call(fields: &Fields<'_>) -> Option<Said> {
    Some(Said::Call {
        pid: fields.number("pid")?,
        arch: u32::try_from(fields.hexadecimal("arch")?).ok()?,
        number: fields.number("syscall")?,
        program: program(fields),
    })
}

fn seccomp(fields: &Fields<'_>) -> Option<Access> {
    let action = Action::from_raw(fields.prefixed("code")?);
    // What is logged and made all the same is no denial, and a supervisor has an answer of its own.
    let denies = matches!(action, Action::KillProcess | Action::KillThread | Action::Trap | Action::Errno(_));
    Some(Access::Seccomp {
        pid: fields.number("pid")?,
        comm: fields.untrusted("comm").unwrap_or_default(),
        program: program(fields),
        label: fields.word("subj").filter(|label| label.len() <= 4096).map(str::to_owned),
        arch: u32::try_from(fields.hexadecimal("arch")?).ok()?,
        number: fields.number("syscall")?,
        action,
    })
    .filter(|_| denies)
}

fn program(fields: &Fields<'_>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    fields.untrusted("exe").map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes))).unwrap_or_default()
}

/// Fixed words of a kernel: letters, digits and a few marks.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn landlock(fields: &Fields<'_>) -> Option<Access> {
    let blockers: Vec<String> = fields.word("blockers")?.split(',').map(str::to_owned).collect();
    let binds = blockers.iter().any(|blocker| blocker.starts_with("net.bind"));
    // With neither, the address is none.
    let (port, address) = if binds { ("src", "saddr") } else { ("dest", "daddr") };
    blockers.iter().all(|blocker| is_word(blocker)).then_some(())?;
    Some(Access::Landlock {
        domain: fields.hexadecimal("domain")?,
        path: fields.untrusted("path").or_else(|| fields.untrusted("name")),
        port: fields.number(port),
        address: fields.word(address).and_then(|address| address.parse().ok()),
        blockers,
    })
}

fn apparmor(fields: &Fields<'_>) -> Option<Access> {
    (fields.word("apparmor")? == "DENIED").then_some(())?;
    let operation = fields.word("operation").filter(|word| is_word(word))?;
    let word = |name: &str| fields.word(name).filter(|word| is_word(word)).map(str::to_owned);
    let name = match fields.untrusted("name") {
        Some(name) => Some(name),
        None => word("capname").or_else(|| word("family")).map(String::into_bytes),
    };
    Some(Access::AppArmor {
        profile: String::from_utf8(fields.untrusted("profile")?).ok()?,
        pid: fields.number("pid")?,
        comm: fields.untrusted("comm").unwrap_or_default(),
        operation: operation.to_owned(),
        mask: word("denied_mask").unwrap_or_default(),
        name,
        kind: word("sock_type"),
    })
}

/// `avc:  denied  { read } for  pid=1 …`
fn selinux(text: &str) -> Option<Access> {
    let rest = text.strip_prefix("avc:")?.trim_start().strip_prefix("denied")?.trim_start();
    let (rights, rest) = rest.strip_prefix('{')?.split_once('}')?;
    let fields = Fields::read(rest.trim_start().strip_prefix("for")?)?;
    let rights: Vec<String> = rights.split_whitespace().map(str::to_owned).collect();
    // Where it is told and not denied, the call has gone on.
    let denied = fields.word("permissive") != Some("1") && rights.iter().all(|right| is_word(right));
    let label = |name: &str| fields.word(name).filter(|label| is_label(label)).map(str::to_owned);
    Some(Access::Selinux {
        source: label("scontext")?,
        target: label("tcontext")?,
        class: fields.word("tclass").filter(|class| is_word(class))?.to_owned(),
        rights,
        pid: fields.number("pid")?,
        comm: fields.untrusted("comm").unwrap_or_default(),
        name: fields.untrusted("path").or_else(|| fields.untrusted("name")),
    })
    .filter(|_| denied)
}

/// `user:role:type`, with what comes behind it.
fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':' | ',');
    text.split(':').count() >= 3 && text.len() <= 4096 && text.chars().all(plain)
}

#[cfg(test)]
#[path = "line/tests.rs"]
mod tests;
