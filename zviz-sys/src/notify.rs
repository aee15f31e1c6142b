//! The listener of a seccomp filter: what a supervisor receives, and what it answers. seccomp_unotify(2).

use crate::{Errno, Result, ret};
use std::os::fd::{AsRawFd, BorrowedFd};

/// One system call that its caller waits in. `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notification {
    /// What an answer names.
    pub id: u64,
    /// The calling thread in the receiver's pid namespace; 0 if it cannot be seen from there.
    pub pid: u32,
    flags: u32,
    /// The call's number, in the numbering of `arch`.
    pub nr: i32,
    /// AUDIT_ARCH_*.
    pub arch: u32,
    instruction_pointer: u64,
    /// The six argument registers, whole: what the kernel takes as 32 bits may have anything above them.
    pub args: [u64; 6],
}

impl Notification {
    /// As if it had been received: for tests, and for fuzzing.
    #[must_use]
    pub fn new(pid: u32, arch: u32, nr: i32, args: [u64; 6]) -> Self {
        Notification { pid, nr, arch, args, ..Notification::default() }
    }
}

impl Notification {
    /// Bytes of one as it travels.
    pub const SIZE: usize = 72;

    /// The words of it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::SIZE);
        bytes.extend_from_slice(&self.id.to_ne_bytes());
        for word in [self.pid, self.nr.cast_unsigned(), self.arch, 0] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for word in self.args {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The other way round.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let long = |at: usize| bytes.get(at..at + 8).and_then(|w| w.try_into().ok()).map_or(0, u64::from_ne_bytes);
        let args = [24, 32, 40, 48, 56, 64].map(long);
        Notification { id: long(0), ..Notification::new(word(8), word(16), word(12).cast_signed(), args) }
    }
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    new: u32,
    new_flags: u32,
}

/// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const CONTINUE: u32 = 1;
/// SECCOMP_ADDFD_FLAG_SEND.
const ADDFD_SEND: u32 = 2;
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
const SYNC_WAKE_UP: u64 = 1;

/// _IOWR('!', 0, struct seccomp_notif) and its neighbours, linux/seccomp.h: size, direction and number in one word.
pub mod request {
    /// Receive.
    pub const RECV: u32 = 0xc050_2100;
    /// Answer.
    pub const SEND: u32 = 0xc018_2101;
    /// Ask whether a call is still waiting.
    pub const ID_VALID: u32 = 0x4008_2102;
    /// Give the caller a descriptor.
    pub const ADDFD: u32 = 0x4018_2103;
    /// How callers are woken.
    pub const SET_FLAGS: u32 = 0x4008_2104;
}

fn ioctl<T>(listener: BorrowedFd<'_>, request: u32, argument: *mut T) -> Result<libc::c_long> {
    // SAFETY: every caller passes a pointer to the structure, alive and of the size, that the request's number says.
    ret(unsafe { libc::ioctl(listener.as_raw_fd(), request as libc::Ioctl, argument) }.into())
}

/// Takes the next waiting call; waits for one. Poll first: a listener whose last process is gone may never answer.
///
/// # Errors
/// ENOENT if the caller was killed meanwhile; EINTR.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification> {
    // The kernel refuses a buffer that is not all zeroes.
    let mut notification = Notification::default();
    ioctl(listener, request::RECV, &raw mut notification)?;
    Ok(notification)
}

/// Lets the call return `value`.
///
/// # Errors
/// ENOENT if nobody waits for it any more.
pub fn answer(listener: BorrowedFd<'_>, id: u64, value: i64) -> Result<()> {
    respond(listener, Response { id, value, error: 0, flags: 0 })
}

/// Lets the call fail.
///
/// # Errors
/// As `answer`.
pub fn refuse(listener: BorrowedFd<'_>, id: u64, errno: Errno) -> Result<()> {
    respond(listener, Response { id, value: 0, error: -(errno as i32), flags: 0 })
}

/// Has the caller call again, as if nothing had happened. Only for one that was told to stop by a freezer, or has a signal, and
/// goes by the kernel's own way out of a call for that reason: another would see the number as its errno. ERESTARTNOINTR,
/// linux/errno.h.
///
/// # Errors
/// As `answer`.
pub fn restart(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    respond(listener, Response { id, value: 0, error: -513, flags: 0 })
}

/// Lets the kernel do the call. It reads the arguments' memory again: only for what registers alone have decided.
///
/// # Errors
/// As `answer`.
pub fn let_run(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    respond(listener, Response { id, value: 0, error: 0, flags: CONTINUE })
}

fn respond(listener: BorrowedFd<'_>, mut response: Response) -> Result<()> {
    ioctl(listener, request::SEND, &raw mut response).map(drop)
}

/// Puts a descriptor into the caller's table, at the lowest free number, which comes back; the call goes on waiting.
///
/// # Errors
/// As [`answer_with`].
pub fn give(listener: BorrowedFd<'_>, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> Result<i64> {
    let source = u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let new_flags = if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
    let mut add = AddFd { id, flags: 0, source, new: 0, new_flags };
    ioctl(listener, request::ADDFD, &raw mut add)
}

/// Puts a descriptor into the caller's table, at the lowest free number, which the call returns: one step, so that a caller
/// that dies on the way is left with neither. Needs Linux 5.14.
///
/// # Errors
/// ENOENT as `answer`; EMFILE for the caller's limit; EBADF for an O_PATH descriptor.
pub fn answer_with(listener: BorrowedFd<'_>, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> Result<()> {
    let source = u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let new_flags = if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
    let mut add = AddFd { id, flags: ADDFD_SEND, source, new: 0, new_flags };
    ioctl(listener, request::ADDFD, &raw mut add).map(drop)
}

/// Whether the caller still waits: what was learnt by its number before was about it.
#[must_use]
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut id = id;
    loop {
        match ioctl(listener, request::ID_VALID, &raw mut id) {
            Err(Errno::EINTR) => {}
            other => return other.is_ok(),
        }
    }
}

/// Keeps caller and supervisor on one processor. Linux 6.6.
///
/// # Errors
/// EINVAL before.
pub fn wake_synchronously(listener: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: this request takes its argument by value.
    ret(unsafe { libc::ioctl(listener.as_raw_fd(), request::SET_FLAGS as libc::Ioctl, SYNC_WAKE_UP) }.into()).map(drop)
}
