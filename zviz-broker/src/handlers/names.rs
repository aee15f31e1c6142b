//! Other names for files, where rules refuse some by their names: whoever may write a directory could otherwise give a file a
//! name that no rule is about. A hand finds both places, asks the rules about both names, and does the call there. A symbolic
//! link is such a name for whoever follows it later: it has one place, and what it says is nobody's yet.

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::handlers::files::RULE;
use crate::held::{AT_FDCWD, Held, Seen};
use crate::policy::Policy;
use crate::policy::files::Files;
use nix::errno::Errno;

/// In the second number of the work: text 0, the old path, begins at the first descriptor.
pub(crate) const OLD: u64 = 1;
/// Text 1, the new path, begins at the next one.
pub(crate) const NEW: u64 = 2;

/// Flags of renameat2(2): RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.
const RENAME: u32 = 7;
/// Flags of linkat(2).
const LINK: u32 = (libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH).cast_unsigned();

/// Whether names matter.
pub fn wanted(policy: &Policy) -> bool {
    policy.files.as_ref().is_some_and(Files::refuses)
}

/// Where the arguments are: directory and path of each name, and the flags.
struct Places {
    old: (Option<usize>, usize),
    new: (Option<usize>, usize),
    flags: Option<usize>,
}

const PLAIN: Places = Places { old: (None, 0), new: (None, 1), flags: None };
const AT: Places = Places { old: (Some(0), 1), new: (Some(2), 3), flags: None };

/// rename(2): old path, new path.
pub fn rename(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Rename, &PLAIN)
}

/// renameat(2): directory, old path, directory, new path.
pub fn renameat(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Rename, &AT)
}

/// renameat2(2): as renameat, and flags.
pub fn renameat2(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Rename, &Places { flags: Some(4), ..AT })
}

/// link(2): old path, new path.
pub fn link(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Link, &PLAIN)
}

/// linkat(2): as renameat2.
pub fn linkat(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Link, &Places { flags: Some(4), ..AT })
}

/// symlink(2): what it says, new path.
pub fn symlink(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Symlink, &PLAIN)
}

/// symlinkat(2): what it says, directory, new path.
pub fn symlinkat(_: &Policy, held: Held<'_>) -> Decision {
    decide(held, Op::Symlink, &Places { old: (None, 0), new: (Some(1), 2), flags: None })
}

fn decide(held: Held<'_>, op: Op, places: &Places) -> Decision {
    let flags = places.flags.map_or(0, |at| held.int(at));
    let known = if op == Op::Link { LINK } else { RENAME };
    if flags & !known != 0 {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    let mut seen = held.look();
    let both = seen.path(places.old.1).and_then(|old| Ok((old, seen.path(places.new.1)?)));
    let (old, new) = match both {
        Ok(both) => both,
        Err(errno) => return Decision::refuse(errno, RULE),
    };
    let itself = op == Op::Link && flags & libc::AT_EMPTY_PATH.cast_unsigned() != 0;
    if old.is_empty() && !itself || new.is_empty() {
        return Decision::refuse(Errno::ENOENT, RULE);
    }
    let directory = |seen: &Seen<'_>, at: Option<usize>, path: &[u8]| {
        let number = at.map_or(AT_FDCWD, |at| seen.descriptor(at));
        (number != AT_FDCWD && !path.starts_with(b"/")).then_some(number)
    };
    let (from, to) = (directory(&seen, places.old.0, &old), directory(&seen, places.new.0, &new));
    let which = from.map_or(0, |_| OLD) | to.map_or(0, |_| NEW);
    let work = Work {
        numbers: [u64::from(flags), which, 0, 0],
        texts: [Some(old.clone()), Some(new.clone()), None, None],
        descriptor: from,
        passed: to.into_iter().collect(),
        ..Work::new(op)
    };
    let first = if op == Op::Symlink { "target" } else { "old" };
    let tell = [(first, old), ("new", new)].map(|(key, path)| (key, Argument::Path(path)));
    Decision::new(Step::Do(work), RULE).seeing(tell.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::paths::Caller;

    fn decided(call: fn(&Policy, Held<'_>) -> Decision, args: [u64; 6]) -> Result<Work, Errno> {
        match call(&Policy::default(), Held::new(args, &mut Caller)).step {
            Step::Do(work) => Ok(work),
            Step::Refuse(errno) => Err(errno),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn directories_are_those_of_paths_that_begin_there() {
        let here = u64::from(AT_FDCWD.cast_unsigned());
        let given = |args| decided(renameat2, args).map(|work| (work.numbers, work.descriptor, work.passed));
        assert_eq!(given([5, 0x1000, 6, 0x1000, 2, 0]), Ok(([2, OLD | NEW, 0, 0], Some(5), vec![6])));
        assert_eq!(given([here, 0x1000, 6, 0x1000, 0, 0]), Ok(([0, NEW, 0, 0], None, vec![6])));
        assert_eq!(given([5, 0x1000, 6, 0x2000, 0, 0]), Ok(([0, OLD, 0, 0], Some(5), vec![])));
        assert_eq!(decided(rename, [0x1000, 0x2000, 9, 9, 9, 9]).map(|work| work.numbers), Ok([0; 4]));
        assert_eq!(
            decided(symlinkat, [0x1000, 6, 0x1000, 9, 9, 9]).map(|w| (w.numbers[1], w.descriptor, w.passed)),
            Ok((NEW, None, vec![6]))
        );
        assert_eq!(decided(symlink, [0x3000, 0x2000, 0, 0, 0, 0]), Err(Errno::ENOENT));
        // Registers that are no arguments of it.
        assert_eq!(decided(renameat, [5, 0x1000, 6, 0x1000, 99, 0]).map(|work| work.numbers[0]), Ok(0));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for (call, args, errno) in [
            (renameat2 as fn(&Policy, Held<'_>) -> Decision, [5, 0x1000, 6, 0x1000, 8, 0], Errno::EINVAL),
            (linkat, [5, 0x1000, 6, 0x1000, 1, 0], Errno::EINVAL),
            (linkat, [5, 0x3000, 6, 0x1000, 0, 0], Errno::ENOENT),
            (renameat2, [5, 0x3000, 6, 0x1000, 0, 0], Errno::ENOENT),
            (rename, [0x1000, 0x3000, 0, 0, 0, 0], Errno::ENOENT),
            (link, [0x1000, 0x4000, 0, 0, 0, 0], Errno::EFAULT),
        ] {
            assert_eq!(decided(call, args), Err(errno), "{args:x?}");
        }
        let itself = u64::from(libc::AT_EMPTY_PATH.cast_unsigned());
        assert_eq!(decided(linkat, [5, 0x3000, 6, 0x1000, itself, 0]).map(|work| work.descriptor), Ok(Some(5)));
    }

    #[test]
    fn names_matter_where_something_is_refused_by_name() {
        let files = |json: &str| Policy { files: Some(serde_json::from_str(json).unwrap()), ..Policy::default() };
        assert!(!wanted(&Policy::default()) && !wanted(&files(r#"{"default": "ask"}"#)));
        assert!(wanted(&files(r#"{"default": {"deny": "EACCES"}}"#)));
    }
}
