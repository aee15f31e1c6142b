//! execve(2) with everything made beforehand.

use crate::{Errno, Result, ret};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A null-terminated array of C strings, as execve(2) wants argv and envp.
pub struct CStrArray {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
    room: Vec<u8>,
}

impl CStrArray {
    /// Copies the strings. Allocates: for the time before clone.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        CStrArray { strings, pointers, room: Vec::new() }
    }

    /// Copies the strings and keeps room for one more of up to `size` bytes, which is not there until it is filled.
    /// Allocates.
    #[must_use]
    pub fn with_room(strings: Vec<CString>, size: usize) -> Self {
        let mut array = Self::new(strings);
        array.pointers.push(std::ptr::null());
        array.room = vec![0; size + 1];
        array
    }

    /// Fills the room with these parts in a row. Does not allocate.
    ///
    /// # Errors
    /// E2BIG if they do not fit, or there is no room.
    pub fn fill_room(&mut self, parts: &[&[u8]]) -> Result<()> {
        let mut end = 0;
        for part in parts {
            // One byte stays for the end of the string.
            let to = end + part.len();
            if to >= self.room.len() {
                return Err(Errno::E2BIG);
            }
            let room = self.room.get_mut(end..to).ok_or(Errno::E2BIG)?;
            room.copy_from_slice(part);
            end = to;
        }
        *self.room.get_mut(end).ok_or(Errno::E2BIG)? = 0;
        let slot = self.pointers.get_mut(self.strings.len()).ok_or(Errno::E2BIG)?;
        *slot = self.room.as_ptr().cast();
        Ok(())
    }

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }
}

/// Replaces the process image. execve(2); returns only an error.
pub fn execve(path: &CStr, argv: &CStrArray, envp: &CStrArray) -> Result<Infallible> {
    // SAFETY: both arrays end with a null pointer and point to strings that live as long as the arrays do; the one in
    // the room was ended by a zero byte before it was pointed to.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Err(Errno::last())
}

/// Replaces the process image by an open file. execveat(2) with AT_EMPTY_PATH; returns only an error.
pub fn execve_fd(file: BorrowedFd<'_>, argv: &CStrArray, envp: &CStrArray) -> Result<Infallible> {
    // SAFETY: as for execve; the path is a valid empty string.
    let value = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(ret(value).err().unwrap_or(Errno::EINVAL))
}
