//! What a machine is called and has, as the calling process sees it.

use crate::{Result, ret};

/// sethostname(2).
pub fn set_hostname(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the length is that of the string.
    ret(unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) }.into()).map(drop)
}

/// setdomainname(2).
pub fn set_domainname(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the length is that of the string.
    ret(unsafe { libc::setdomainname(name.as_ptr(), name.count_bytes()) }.into()).map(drop)
}

/// The size of `struct new_utsname`: six names of 65 bytes.
pub const NAMES: usize = 6 * 65;

/// What the machine is called, as the kernel writes it: sysname, nodename, release, version, machine, domainname. uname(2).
pub fn names() -> Result<[u8; NAMES]> {
    let mut names = [0u8; NAMES];
    // SAFETY: the buffer is as large as the structure, which is bytes alone.
    ret(unsafe { libc::uname(names.as_mut_ptr().cast()) }.into())?;
    Ok(names)
}

/// What sysinfo(2) says of the machine.
pub fn sysinfo() -> Result<libc::sysinfo> {
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut machine: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills one structure.
    ret(unsafe { libc::sysinfo(&raw mut machine) }.into())?;
    Ok(machine)
}

/// The structure as bytes, to be written into another process.
#[must_use]
pub fn sysinfo_bytes(machine: &libc::sysinfo) -> [u8; size_of::<libc::sysinfo>()] {
    let mut bytes = [0u8; size_of::<libc::sysinfo>()];
    // SAFETY: both are as long as the structure; padding in it was zeroed by `sysinfo`, the only way to make one here.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(machine).cast(), bytes.as_mut_ptr(), bytes.len());
    }
    bytes
}
