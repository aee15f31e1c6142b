//! Opening files by rules about their names. A hand finds the file, learns its name, asks the rules, and opens that very
//! file; the descriptor is put into the caller's table.

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::{AT_FDCWD, Held, Seen};
use crate::policy::Policy;
use nix::errno::Errno;

/// Of a call of which no rule is known yet.
pub(crate) const RULE: &str = "files";
/// `struct open_how`, first version: flags, mode, resolve. openat2(2).
const HOW: usize = 24;
/// A larger one is refused by the kernel too.
const PAGE: u64 = 4096;
/// What open(2) takes of a mode: S_IALLUGO.
const MODE: u64 = 0o7777;
/// RESOLVE_*, all that openat2(2) knows.
const RESOLVE: u64 = 0x3f;
/// RESOLVE_CACHED only says that waiting is not wanted, which cannot be helped here.
const RESOLVE_CACHED: u64 = 0x20;
/// RESOLVE_BENEATH and RESOLVE_IN_ROOT exclude each other.
const RESOLVE_WITHIN: u64 = 0x18;

/// Two bits; some libcs count O_PATH in.
pub(crate) const O_ACCMODE: i32 = 3;
/// Libc says 0, as it is nothing to a kernel of 64 bits: asm/fcntl.h.
pub(crate) const O_LARGEFILE: i32 = if cfg!(target_arch = "x86_64") { 0o100_000 } else { 0o400_000 };

/// What a hand is told of it in `numbers`: flags, mode, resolve, and the calling thread, which the eyes fill in.
pub(crate) const FLAGS: usize = 0;
pub(crate) const MODE_AT: usize = 1;
pub(crate) const RESOLVE_AT: usize = 2;
pub(crate) const THREAD: usize = 3;

/// Flags of open(2) that openat2(2) takes, and that open(2) does not ignore.
fn known() -> u64 {
    let flags = O_ACCMODE
        | libc::O_CREAT
        | libc::O_EXCL
        | libc::O_NOCTTY
        | libc::O_TRUNC
        | libc::O_APPEND
        | libc::O_NONBLOCK
        | libc::O_SYNC
        | libc::O_ASYNC
        | libc::O_DIRECT
        | O_LARGEFILE
        | libc::O_DIRECTORY
        | libc::O_NOFOLLOW
        | libc::O_NOATIME
        | libc::O_CLOEXEC
        | libc::O_PATH
        | libc::O_TMPFILE;
    u64::from(flags.cast_unsigned())
}

/// open(2): path, flags, mode.
pub fn open(_: &Policy, held: Held<'_>) -> Decision {
    plain(held, 0)
}

/// openat(2): directory, path, flags, mode.
pub fn openat(_: &Policy, held: Held<'_>) -> Decision {
    plain(held, 1)
}

/// creat(2): path, mode.
pub fn creat(_: &Policy, held: Held<'_>) -> Decision {
    let flags = flag(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC);
    let mode = u64::from(held.int(1)) & MODE;
    finish(held.look(), 0, [flags, mode, 0])
}

/// openat2(2): directory, path, `struct open_how`, its size.
pub fn openat2(_: &Policy, held: Held<'_>) -> Decision {
    let size = held.long(3);
    // As the kernel: a size that is no version's.
    if size < HOW as u64 {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    if size > PAGE {
        return Decision::refuse(Errno::E2BIG, RULE);
    }
    let mut seen = held.look();
    match how(&mut seen, size as usize) {
        Ok(how) => finish(seen, 1, how),
        Err(errno) => Decision::refuse(errno, RULE),
    }
}

/// Whether a file without a name is made: O_TMPFILE is a bit of its own beside O_DIRECTORY.
pub(crate) fn nameless(flags: u64) -> bool {
    flags & flag(libc::O_TMPFILE) & !flag(libc::O_DIRECTORY) != 0
}

/// Whether nobody else may have it open any more when its caller hears of it: what was written may be executed next, and what is
/// made to be read is a lock (flock(1)), which goes with the last descriptor. For other files the second round trip would take too long.
pub(crate) fn is_callers_alone(work: &Work) -> bool {
    let flags = work.numbers.get(FLAGS).copied().unwrap_or_default();
    work.op == Op::Open && (flags & flag(O_ACCMODE) != flag(libc::O_RDONLY) || flags & flag(libc::O_CREAT) != 0)
}

pub(crate) fn flag(flags: i32) -> u64 {
    u64::from(flags.cast_unsigned())
}

/// With a path at `path_at` and flags and mode after it.
fn plain(held: Held<'_>, path_at: usize) -> Decision {
    let flags = u64::from(held.int(path_at + 1)) & known();
    if flags & flag(libc::O_PATH) != 0 {
        // It opens nothing: whoever reads or writes by way of it opens it again, and is asked about then. Nor can such a
        // descriptor be given to the caller. Only a register was looked at.
        return held.let_run(RULE);
    }
    // Whatever else is in these registers does not count.
    let makes = flags & flag(libc::O_CREAT) != 0 || nameless(flags);
    let mode = if makes { u64::from(held.int(path_at + 2)) & MODE } else { 0 };
    finish(held.look(), path_at, [flags, mode, 0])
}

/// What openat2(2) checks before it looks at the path.
fn how(seen: &mut Seen<'_>, size: usize) -> Result<[u64; 3], Errno> {
    let bytes = seen.bytes(2, size)?;
    let number = |at: usize| {
        let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
        field.map(u64::from_ne_bytes).ok_or(Errno::EINVAL)
    };
    let (flags, mode, resolve) = (number(0)?, number(8)?, number(16)?);
    if bytes.iter().skip(HOW).any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    if flags & flag(libc::O_PATH) != 0 {
        // Callers know this errno from kernels before Linux 5.6, and take openat(2).
        return Err(Errno::ENOSYS);
    }
    let creates = flags & flag(libc::O_CREAT) != 0;
    let wrong = flags & !known() != 0
        || resolve & !RESOLVE != 0
        || resolve & RESOLVE_WITHIN == RESOLVE_WITHIN
        || mode != 0 && !creates && !nameless(flags)
        || mode & !MODE != 0;
    if wrong {
        return Err(Errno::EINVAL);
    }
    Ok([flags, mode, resolve & !RESOLVE_CACHED])
}

fn finish(mut seen: Seen<'_>, path_at: usize, [flags, mode, resolve]: [u64; 3]) -> Decision {
    let path = match seen.path(path_at) {
        Ok(path) => path,
        Err(errno) => return Decision::refuse(errno, RULE),
    };
    let has = |one| flags & flag(one) == flag(one);
    let reads_only = flags & flag(O_ACCMODE) == flag(libc::O_RDONLY);
    // build_open_flags of fs/open.c.
    if has(libc::O_CREAT | libc::O_DIRECTORY) || nameless(flags) && (!has(libc::O_TMPFILE) || reads_only) {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    if path.is_empty() {
        return Decision::refuse(Errno::ENOENT, RULE);
    }
    let directory = if path_at == 0 { AT_FDCWD } else { seen.descriptor(0) };
    let within = resolve & RESOLVE_WITHIN != 0;
    let absolute = path.starts_with(b"/") && !within;
    let mut numbers = [0; 4];
    (numbers[FLAGS], numbers[MODE_AT], numbers[RESOLVE_AT]) = (flags, mode, resolve);
    let work = Work {
        numbers,
        texts: [Some(path.clone()), None, None, None],
        descriptor: (directory != AT_FDCWD && !absolute).then_some(directory),
        ..Work::new(Op::Open)
    };
    Decision::new(Step::Do(work), RULE).seeing(vec![("path", Argument::Path(path)), ("flags", Argument::Number(flags))])
}

#[cfg(test)]
mod tests;
