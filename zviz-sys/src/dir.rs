//! Reading directories without allocating.

use crate::{Errno, Result, ret};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Names that one call has read.
pub struct Entries<'b> {
    rest: &'b [u8],
}

/// Reads the next entries of an open directory; none at its end. getdents64(2).
pub fn read<'b>(dir: BorrowedFd<'_>, buffer: &'b mut [u8]) -> Result<Entries<'b>> {
    // SAFETY: the pointer and the length describe one buffer.
    let value =
        ret(unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) })?;
    let length = usize::try_from(value).map_err(|_| Errno::EIO)?;
    Ok(Entries { rest: buffer.get(..length).ok_or(Errno::EIO)? })
}

impl<'b> Entries<'b> {
    /// The next name, `.` and `..` among them.
    pub fn next_name(&mut self) -> Option<&'b CStr> {
        // struct linux_dirent64: inode and offset of 8 bytes each, length of 2, type of 1, name.
        let length = u16::from_ne_bytes([*self.rest.get(16)?, *self.rest.get(17)?]);
        let entry = self.rest.get(..usize::from(length))?;
        self.rest = self.rest.get(usize::from(length)..)?;
        CStr::from_bytes_until_nul(entry.get(19..)?).ok()
    }
}
