//! Mounts for sandboxes inside the sandbox. The kernel decides whether the caller has the right, since a hand with the
//! caller's own identity does the call; here is decided which parts of the kernel that may reach: file system types
//! and their options by list.

mod options;
pub(crate) mod own;

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::{Held, Seen};
use crate::policy::{Mounts, Policy};
use nix::errno::Errno;

const TYPES: &str = "mounts.types";
const OPTIONS: &str = "mounts.options";
const RULE: &str = "mounts";

/// A page, less the terminator that the kernel puts there.
const DATA_MAX: usize = 4095;
/// No name of a file system type is longer.
const TYPE_MAX: usize = 64;
/// The upper half of the flags was once a signature, which the kernel strips still.
const MAGIC: (u64, u64) = (0xffff_0000, 0xc0ed_0000);
const PROPAGATION: u64 = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;
/// What may go with a new mount: how it is used, not how the kernel reads what is on it.
const USE: u64 = libc::MS_RDONLY
    | libc::MS_NOSUID
    | libc::MS_NODEV
    | libc::MS_NOEXEC
    | libc::MS_SYNCHRONOUS
    | libc::MS_DIRSYNC
    | libc::MS_NOATIME
    | libc::MS_NODIRATIME
    | libc::MS_RELATIME
    | libc::MS_STRICTATIME
    | libc::MS_LAZYTIME
    | libc::MS_SILENT
    | MS_NOSYMFOLLOW;
/// Linux 5.10; libc has it for some targets only.
const MS_NOSYMFOLLOW: u64 = 256;

/// mount(2): source, target, type, flags, options.
pub fn mount(policy: &Policy, held: Held<'_>) -> Decision {
    let Some(rules) = &policy.mounts else { return Decision::refuse(Errno::EPERM, RULE) };
    let flags = held.long(3);
    let flags = if flags & MAGIC.0 == MAGIC.1 { flags & !MAGIC.0 } else { flags };
    let mut seen = held.look();
    let mut tell = vec![("flags", Argument::Number(flags))];
    let decision = understand(rules, flags, &mut seen, &mut tell).map(|step| Decision::new(step, RULE));
    answer(decision).seeing(tell)
}

/// umount2(2): target, flags.
pub fn umount2(_: &Policy, held: Held<'_>) -> Decision {
    let flags = held.int(1);
    let mut seen = held.look();
    answer(seen.path(0).map_err(|errno| (errno, RULE)).map(|target| {
        let numbers = [u64::from(flags), 0, 0, 0];
        let work = own::target(Work { numbers, texts: texts([None, Some(&target)]), ..Work::new(Op::Unmount) });
        Decision::new(Step::Do(work), RULE)
            .seeing(vec![("target", Argument::Path(target)), ("flags", Argument::Number(flags.into()))])
    }))
}

/// pivot_root(2): new root, place for the old one.
pub fn pivot_root(_: &Policy, held: Held<'_>) -> Decision {
    let mut seen = held.look();
    let both = seen.path(0).and_then(|new| Ok((new, seen.path(1)?)));
    answer(both.map_err(|errno| (errno, RULE)).map(|(new, old)| {
        let work = Work { texts: texts([Some(&new), Some(&old)]), ..Work::new(Op::PivotRoot) };
        Decision::new(Step::Do(work), RULE).seeing(vec![("new", Argument::Path(new)), ("old", Argument::Path(old))])
    }))
}

fn answer(result: Result<Decision, (Errno, &'static str)>) -> Decision {
    result.unwrap_or_else(|(errno, rule)| Decision::refuse(errno, rule))
}

fn texts(two: [Option<&Vec<u8>>; 2]) -> [Option<Vec<u8>>; 4] {
    let [first, second] = two.map(Option::<&Vec<u8>>::cloned);
    [first, second, None, None]
}

/// In the order in which the kernel tells kinds of mount(2) apart (path_mount of fs/namespace.c).
fn understand(
    rules: &Mounts,
    flags: u64,
    seen: &mut Seen<'_>,
    tell: &mut Vec<(&'static str, Argument)>,
) -> Result<Step, (Errno, &'static str)> {
    let of_call = |errno| (errno, RULE);
    let source = seen.text(0, crate::memory::PATH_MAX, Errno::ENAMETOOLONG).map_err(of_call)?;
    let target = seen.path(1).map_err(of_call)?;
    let fstype = seen.text(2, TYPE_MAX, Errno::ENODEV).map_err(of_call)?;
    tell.push(("target", Argument::Path(target.clone())));
    if let Some(source) = &source {
        tell.push(("source", Argument::Path(source.clone())));
    }
    if let Some(fstype) = &fstype {
        tell.push(("type", Argument::Path(fstype.clone())));
    }
    let done = |op, fstype, options, flags| {
        let texts = [source, Some(target), fstype, options];
        let work = own::target(Work { numbers: [flags, 0, 0, 0], texts, ..Work::new(op) });
        // Elsewhere a source is a name, or nothing.
        let binds = op == Op::Mount && flags & libc::MS_BIND != 0 && flags & libc::MS_REMOUNT == 0;
        Ok(Step::Do(if binds { own::source(work) } else { work }))
    };
    let remounts = flags & libc::MS_REMOUNT != 0;
    let kinds = libc::MS_BIND | libc::MS_MOVE | PROPAGATION;
    if !remounts && flags & kinds != 0 || remounts && flags & libc::MS_BIND != 0 {
        // Options mean nothing to these; what the kernel would not look at is not passed on.
        let known = USE | kinds | libc::MS_REC | libc::MS_REMOUNT;
        return if flags & !known == 0 { done(Op::Mount, None, None, flags) } else { Err((Errno::EINVAL, RULE)) };
    }
    // Of a new file system there is nothing to recurse into, and the kernel takes no notice.
    let flags = if remounts { flags } else { flags & !libc::MS_REC };
    if flags & !(USE | libc::MS_REMOUNT) != 0 {
        return Err((Errno::EPERM, "mounts.flags"));
    }
    let given = seen.text(4, DATA_MAX + 1, Errno::EINVAL).map_err(of_call)?.unwrap_or_default();
    if remounts {
        // Whatever is there is of a type that may be mounted, or was there from the start.
        let options = options::check("tmpfs", &given).ok_or((Errno::EPERM, OPTIONS))?;
        return done(Op::Mount, None, options.capped(rules.tmpfs_bytes, false), flags);
    }
    let name = fstype.as_deref().ok_or((Errno::EINVAL, RULE))?;
    let known = std::str::from_utf8(name).ok().filter(|name| rules.types.iter().any(|listed| listed == name));
    let Some(name) = known.map(str::to_owned) else { return Err((Errno::EPERM, TYPES)) };
    // Runtimes ask for it writable, and remount it when they have mounted what belongs below.
    let flags = if name == "sysfs" { flags | libc::MS_RDONLY } else { flags };
    let options = options::check(&name, &given).ok_or((Errno::EPERM, OPTIONS))?;
    let options = if name == "tmpfs" { options.capped(rules.tmpfs_bytes, true) } else { options.text() };
    let op = if name == "proc" { Op::MountProc } else { Op::Mount };
    done(op, fstype, options, flags)
}

#[cfg(test)]
mod tests;
