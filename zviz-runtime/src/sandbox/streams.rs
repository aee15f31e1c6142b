//! Standard streams that are pipes, which programs open again by /dev/stdout.
//!
//! A pipe is its maker's, and closed to others. Where the maker's id is nobody's inside, the payload has a descriptor of it and may
//! not open it: each log that is a link to /dev/stdout would fail. Init gives a pipe away where it can (`pty::give_stdio`), which
//! it cannot there, so that the pipe is opened to others before.

use crate::plan::User;
use crate::plan::namespaces::maps_to;
use nix::sys::stat::{Mode, fchmod};
use std::os::fd::BorrowedFd;
use zviz_sys::fd;

/// PIPEFS_MAGIC of linux/magic.h: pipes that have no name. One that has belongs to whoever made it, also after the run.
const PIPEFS: i64 = 0x5049_5045;

/// Lets the payload open its standard input to be read, and its output and error to be written: not to be read, since others may
/// have written to the same pipe before. Nobody else gains by it: who could name the pipe by /proc has the rights of its holder.
pub(super) fn open_to_payload(user: &User, input: BorrowedFd<'_>, outputs: [BorrowedFd<'_>; 2]) {
    let User::New { uids, .. } = user else { return };
    let [output, error] = outputs;
    for (stream, right) in [(input, Mode::S_IROTH), (output, Mode::S_IWOTH), (error, Mode::S_IWOTH)] {
        let Ok(stat) = fd::stat(stream) else { continue };
        let nameless = fd::filesystem_magic(stream) == Ok(PIPEFS);
        if nameless && !maps_to(uids, stat.st_uid) {
            // Where it may not be changed, the payload has the descriptor all the same.
            let _ = fchmod(stream, Mode::from_bits_truncate(stat.st_mode) | right);
        }
    }
}
