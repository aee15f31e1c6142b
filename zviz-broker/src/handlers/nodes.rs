//! Device nodes. A node on a file system of a user namespace opens nothing (nodev), so what the caller gets is a mount of
//! the node that its root has already.

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::{AT_FDCWD, Held, Seen};
use crate::policy::Policy;
use nix::errno::Errno;

const RULE: &str = "nodes";
const FORMAT: u32 = libc::S_IFMT;

/// mknod(2): path, mode, device.
pub fn mknod(_: &Policy, held: Held<'_>) -> Decision {
    node(held, 0, |_| AT_FDCWD)
}

/// mknodat(2): directory, path, mode, device.
pub fn mknodat(_: &Policy, held: Held<'_>) -> Decision {
    node(held, 1, |seen| seen.descriptor(0))
}

fn node(held: Held<'_>, path_at: usize, directory: fn(&Seen<'_>) -> i32) -> Decision {
    // umode_t is an unsigned short.
    let mode = held.int(path_at + 1) & 0xffff;
    let device = held.int(path_at + 2);
    let name = (mode & FORMAT == libc::S_IFCHR).then(|| device_name(device)).flatten();
    if matches!(mode & FORMAT, 0 | libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK) {
        // No device: the kernel needs no help.
        return held.let_run(RULE);
    }
    let Some(name) = name else { return Decision::refuse(Errno::EPERM, RULE) };
    let mut seen = held.look();
    let path = match seen.path(path_at) {
        Ok(path) => path,
        Err(errno) => return Decision::refuse(errno, RULE),
    };
    let directory = directory(&seen);
    let work = Work {
        numbers: [u64::from(mode), u64::from(device), 0, 0],
        texts: [Some(path.clone()), None, None, None],
        descriptor: (directory != AT_FDCWD && !path.starts_with(b"/")).then_some(directory),
        ..Work::new(Op::Node)
    };
    Decision::new(Step::Do(work), RULE).seeing(vec![("path", Argument::Path(path)), ("device", Argument::Word(name))])
}

/// The devices that cannot do harm, by number as the system call has it (new_encode_dev: below 256 both halves are bytes).
fn device_name(device: u32) -> Option<&'static str> {
    HARMLESS.iter().find(|(number, _)| *number == device).map(|(_, name)| *name)
}

/// (number, name below /dev): major times 256 and minor. Documentation/admin-guide/devices.txt.
pub(crate) const HARMLESS: &[(u32, &str)] =
    &[(0x103, "null"), (0x105, "zero"), (0x107, "full"), (0x108, "random"), (0x109, "urandom"), (0x500, "tty")];
