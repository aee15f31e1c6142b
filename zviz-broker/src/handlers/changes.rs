//! What becomes of a file other than by opening it, where rules refuse some by their names: it is removed, cut short, given
//! another mode, or a folder or a pipe is made where it is to be. A hand finds the place, asks the rules about its name, as
//! something that is written, and does the call there.

use super::names::NEW;
use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::handlers::files::RULE;
use crate::handlers::nodes;
use crate::held::{AT_FDCWD, Held};
use crate::policy::Policy;
use nix::errno::Errno;

/// In the third number of a change of mode: it is of the descriptor itself, fchmod(2).
pub(crate) const OF_DESCRIPTOR: u64 = 1 << 32;
/// S_IALLUGO of the kernel.
const MODE: u32 = 0o7777;

/// Whether names matter, or devices are made.
pub fn nodes_wanted(policy: &Policy) -> bool {
    policy.nodes || super::names::wanted(policy)
}

/// unlink(2): path.
pub fn unlink(_: &Policy, held: Held<'_>) -> Decision {
    change(held, Op::Remove, (None, 0), [0, 0])
}

/// rmdir(2): path.
pub fn rmdir(_: &Policy, held: Held<'_>) -> Decision {
    change(held, Op::Remove, (None, 0), [u64::from(libc::AT_REMOVEDIR.cast_unsigned()), 0])
}

/// unlinkat(2): directory, path, flags.
pub fn unlinkat(_: &Policy, held: Held<'_>) -> Decision {
    let flags = held.int(2);
    if flags & !libc::AT_REMOVEDIR.cast_unsigned() != 0 {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    change(held, Op::Remove, (Some(0), 1), [flags.into(), 0])
}

/// mkdir(2): path, mode.
pub fn mkdir(_: &Policy, held: Held<'_>) -> Decision {
    let mode = folder(held.int(1));
    change(held, Op::Make, (None, 0), [mode, 0])
}

/// mkdirat(2): directory, path, mode.
pub fn mkdirat(_: &Policy, held: Held<'_>) -> Decision {
    let mode = folder(held.int(2));
    change(held, Op::Make, (Some(0), 1), [mode, 0])
}

/// mknod(2): path, mode, device.
pub fn mknod(policy: &Policy, held: Held<'_>) -> Decision {
    node(policy, held, (None, 0))
}

/// mknodat(2): directory, path, mode, device.
pub fn mknodat(policy: &Policy, held: Held<'_>) -> Decision {
    node(policy, held, (Some(0), 1))
}

/// truncate(2): path, length.
pub fn truncate(_: &Policy, held: Held<'_>) -> Decision {
    let length = held.long(1);
    if i64::try_from(length).is_err() {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    change(held, Op::Truncate, (None, 0), [length, 0])
}

/// chmod(2): path, mode.
pub fn chmod(_: &Policy, held: Held<'_>) -> Decision {
    let mode = u64::from(held.int(1) & MODE);
    change(held, Op::Chmod, (None, 0), [mode, 0])
}

/// fchmod(2): descriptor, mode.
pub fn fchmod(_: &Policy, held: Held<'_>) -> Decision {
    let (descriptor, mode) = (held.int(0).cast_signed(), u64::from(held.int(1) & MODE));
    let work = Work { numbers: [mode, NEW, OF_DESCRIPTOR, 0], passed: vec![descriptor], ..Work::new(Op::Chmod) };
    Decision::new(Step::Do(work), RULE).seeing(vec![("mode", Argument::Number(mode))])
}

/// fchmodat(2): directory, path, mode.
pub fn fchmodat(_: &Policy, held: Held<'_>) -> Decision {
    let mode = u64::from(held.int(2) & MODE);
    change(held, Op::Chmod, (Some(0), 1), [mode, 0])
}

/// fchmodat2(2): directory, path, mode, flags.
pub fn fchmodat2(_: &Policy, held: Held<'_>) -> Decision {
    let (mode, flags) = (u64::from(held.int(2) & MODE), held.int(3));
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH).cast_unsigned() != 0 {
        return Decision::refuse(Errno::EINVAL, RULE);
    }
    change(held, Op::Chmod, (Some(0), 1), [mode, flags.into()])
}

/// As mkdir(2) takes a mode.
fn folder(mode: u32) -> u64 {
    (mode & 0o1777 | libc::S_IFDIR).into()
}

fn node(policy: &Policy, held: Held<'_>, place: (Option<usize>, usize)) -> Decision {
    // umode_t is an unsigned short.
    let (mode, device) = (held.int(place.1 + 1) & 0xffff, held.int(place.1 + 2));
    let plain = matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK);
    // Overlayfs marks a deleted file by a character device 0:0, which opens nothing.
    let whiteout = mode & libc::S_IFMT == libc::S_IFCHR && device == 0;
    if super::names::wanted(policy) && (plain || whiteout) {
        return change(held, Op::Make, place, [mode.into(), 0]);
    }
    if !policy.nodes {
        return Decision::refuse(Errno::EPERM, RULE);
    }
    if place.0.is_some() { nodes::mknodat(policy, held) } else { nodes::mknod(policy, held) }
}

/// With the arguments of directory and path, and the first and the third number of the work.
fn change(
    held: Held<'_>,
    op: Op,
    (directory_at, path_at): (Option<usize>, usize),
    [first, third]: [u64; 2],
) -> Decision {
    let mut seen = held.look();
    let path = match seen.path(path_at) {
        Ok(path) => path,
        Err(errno) => return Decision::refuse(errno, RULE),
    };
    let itself = op == Op::Chmod && third & u64::from(libc::AT_EMPTY_PATH.cast_unsigned()) != 0;
    if path.is_empty() && !itself {
        return Decision::refuse(Errno::ENOENT, RULE);
    }
    let number = directory_at.map_or(AT_FDCWD, |at| seen.descriptor(at));
    let directory = (number != AT_FDCWD && !path.starts_with(b"/")).then_some(number);
    let work = Work {
        numbers: [first, directory.map_or(0, |_| NEW), third, 0],
        texts: [None, Some(path.clone()), None, None],
        passed: directory.into_iter().collect(),
        ..Work::new(op)
    };
    Decision::new(Step::Do(work), RULE).seeing(vec![("path", Argument::Path(path))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::paths::Caller;
    use crate::policy::files::{Files, Reason, Verdict};

    type Call = fn(&Policy, Held<'_>) -> Decision;

    fn decided(call: Call, args: [u64; 6]) -> Result<Work, Errno> {
        let files = Files { default: Verdict::Deny(Reason::Eacces), ..Files::default() };
        let policy = Policy { files: Some(files), ..Policy::default() };
        match call(&policy, Held::new(args, &mut Caller)).step {
            Step::Do(work) => Ok(work),
            Step::Refuse(errno) => Err(errno),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn directories_are_those_of_paths_that_begin_there() {
        let here = u64::from(AT_FDCWD.cast_unsigned());
        let given = |call: Call, args| decided(call, args).map(|work| (work.op, work.numbers, work.passed));
        assert_eq!(given(unlinkat, [5, 0x1000, 0x200, 9, 9, 9]), Ok((Op::Remove, [0x200, NEW, 0, 0], vec![5])));
        assert_eq!(given(unlinkat, [here, 0x1000, 0, 9, 9, 9]), Ok((Op::Remove, [0; 4], vec![])));
        assert_eq!(given(unlinkat, [5, 0x2000, 0, 9, 9, 9]), Ok((Op::Remove, [0; 4], vec![])));
        assert_eq!(given(rmdir, [0x1000, 9, 9, 9, 9, 9]), Ok((Op::Remove, [0x200, 0, 0, 0], vec![])));
        assert_eq!(given(mkdirat, [5, 0x1000, 0o6755, 9, 9, 9]), Ok((Op::Make, [0o40755, NEW, 0, 0], vec![5])));
        assert_eq!(given(mknod, [0x1000, 0o10600, 9, 9, 9, 9]), Ok((Op::Make, [0o10600, 0, 0, 0], vec![])));
        assert_eq!(given(truncate, [0x1000, 1 << 40, 9, 9, 9, 9]), Ok((Op::Truncate, [1 << 40, 0, 0, 0], vec![])));
        assert_eq!(given(fchmodat, [5, 0x1000, 0o755, 0x1000, 9, 9]), Ok((Op::Chmod, [0o755, NEW, 0, 0], vec![5])));
        assert_eq!(given(fchmod, [5, 0o755, 9, 9, 9, 9]), Ok((Op::Chmod, [0o755, NEW, OF_DESCRIPTOR, 0], vec![5])));
        assert_eq!(given(fchmodat2, [5, 0x3000, 0, 0x1000, 9, 9]), Ok((Op::Chmod, [0, NEW, 0x1000, 0], vec![5])));
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for (call, args, errno) in [
            (unlinkat as Call, [5, 0x1000, 1, 0, 0, 0], Errno::EINVAL),
            (fchmodat2, [5, 0x1000, 0, 1, 0, 0], Errno::EINVAL),
            (fchmodat2, [5, 0x3000, 0, 0, 0, 0], Errno::ENOENT),
            (truncate, [0x1000, u64::MAX, 0, 0, 0, 0], Errno::EINVAL),
            (unlink, [0x3000, 0, 0, 0, 0, 0], Errno::ENOENT),
            (mkdir, [0x4000, 0, 0, 0, 0, 0], Errno::EFAULT),
            // A device, which this policy does not make.
            (mknod, [0x1000, 0o20666, 0x103, 0, 0, 0], Errno::EPERM),
        ] {
            assert_eq!(decided(call, args), Err(errno), "{args:x?}");
        }
    }
}
