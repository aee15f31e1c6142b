//! Opening a file to write it, or making it, by a path that is its name (`plain`): what compilers and editors do, in half of
//! the system calls that the other way takes.
//!
//! ```text
//! path ──► rules ──► lstat ──► openat2 without links, and without O_CREAT ──► fstat
//!                     └─ENOENT──► umask ──► openat2 without links, with O_CREAT ──► fstat
//! ```
//!
//! A file that is there is opened if it is the caller's own. Whether it may be opened though somebody else's, where O_CREAT is
//! given, depends on whose its directory is (fs.protected_regular of proc_sys_fs(5)), which the kernel looks at only if it is given.
//! Here it is not, since a file that goes meanwhile must not be made without the caller's umask. Nor is a file the caller's own that
//! seems to be nobody's, as each does whose owner has no number in this user namespace.
//!
//! The name is the file's as long as it is looked for, as for what is read. What may have happened when it turns out to be something
//! else than a file is what the caller would have done by itself: an open of what was put there in that moment.

use super::plain::is_plain;
use super::{Opened, Opener, create};
use crate::decision::Work;
use crate::handlers::files::{FLAGS, MODE_AT, O_ACCMODE, O_LARGEFILE, RESOLVE_AT, THREAD};
use crate::policy::files::Verdict;
use nix::errno::Errno;
use std::ffi::CString;
use zviz_sys::{path, process};

/// What such an opening may ask for.
const FLAGS_KNOWN: i32 = O_ACCMODE
    | O_LARGEFILE
    | libc::O_APPEND
    | libc::O_CLOEXEC
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_NOFOLLOW
    | libc::O_NONBLOCK
    | libc::O_TRUNC;

/// What may be written this way.
const WRITTEN: &[libc::mode_t] = &[libc::S_IFREG];

/// Whose number it is that files have whose owner has none here: DEFAULT_OVERFLOWUID of linux/highuid.h.
const NOBODY: u32 = 65_534;

impl Opener<'_> {
    /// Opens or makes it, for a caller that waits; none if it takes more than this. Nothing has happened then but what may have
    /// been opened.
    pub(in super::super) fn write_plain(&self, work: &Work) -> Option<Opened> {
        let number = |at: usize| work.numbers.get(at).copied().unwrap_or_default();
        let path = work.texts[0].as_deref().filter(|path| is_plain(path))?;
        let (flags, mode) = (i32::try_from(number(FLAGS)).ok()?, u32::try_from(number(MODE_AT)).ok()?);
        let access = flags & O_ACCMODE;
        let writes = matches!(access, libc::O_WRONLY | libc::O_RDWR);
        if !writes || flags & !FLAGS_KNOWN != 0 || number(RESOLVE_AT) != 0 {
            return None;
        }
        let (directory, _) = create::split(path);
        if self.linked.has(directory) {
            return None;
        }
        let ruling = self.rules.ask(path, access == libc::O_RDWR, true);
        if !matches!(ruling.verdict, Verdict::Allow | Verdict::Audit) {
            return None;
        }
        let text = CString::new(path).ok()?;
        let makes = flags & libc::O_CREAT != 0;
        let opened = match path::stat_link(&text) {
            Ok(stat) if self.is_quiet(&stat, WRITTEN) && self.owns(&stat) && flags & libc::O_EXCL == 0 => {
                self.open_quiet(&text, flags & !libc::O_CREAT, 0, WRITTEN)
            }
            Err(Errno::ENOENT) if makes => {
                process::set_umask(self.proc.umask(i32::try_from(number(THREAD)).ok()?).ok()?);
                self.open_quiet(&text, flags, mode, WRITTEN)
            }
            _ => return None,
        };
        match opened {
            Ok(file) => Some(Opened { result: Ok(file?), judged: Some((ruling, path.to_vec())) }),
            Err(Errno::ELOOP) => {
                self.linked.add(directory);
                None
            }
            Err(_) => None,
        }
    }

    fn owns(&self, stat: &libc::stat) -> bool {
        stat.st_uid == self.uid && self.uid != NOBODY
    }
}
