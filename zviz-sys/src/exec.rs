//! execve(2) with everything made beforehand.

use crate::{Errno, Result, ret};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A null-terminated array of C strings, as execve(2) wants argv and envp.
pub struct CStrArray {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl CStrArray {
    /// Copies the strings. Allocates: for the time before clone.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        CStrArray { strings, pointers }
    }

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }
}

/// Replaces the process image. execve(2); returns only an error.
pub fn execve(path: &CStr, argv: &CStrArray, envp: &CStrArray) -> Result<Infallible> {
    // SAFETY: both arrays end with a null pointer and point to strings that live as long as the arrays do.
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
