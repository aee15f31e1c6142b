//! The kernel's answers to system calls under a filter, of which none is made: for tests of filters.
//!
//! A child loads a program that refuses everything, each call with an errno that says by which return, and calls. It
//! cannot be asked over a pipe any more, nor end itself, so it leaves the answers in memory and runs in a circle until it
//! is killed:
//!
//! ```text
//! parent: map memory, clone ──► wait for DONE ─────────────────► kill, reap, read the answers
//! child:  no_new_privs, load ── call, store ── … ── DONE, circle ──┘
//! ```

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::ids;
use crate::process::{self, Cloned};
use crate::seccomp::{self, Instruction};
use crate::wait::{self, Exit};
use crate::{Errno, Result, ret};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The machine's own instruction.
    Native,
    /// Interrupt 0x80 of x86: i386's numbers, from 64-bit code too.
    Int80,
    /// A jump to the vsyscall page of x86-64, which the kernel emulates: the number says which of its three entries.
    Vsyscall,
}

/// One call, register by register. What the kernel looks at of the number and of each argument is up to the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How it is made.
    pub entry: Entry,
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What came of the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The errno of each call that was made, in their order; 0 where the kernel reported success.
    pub errnos: Vec<u16>,
    /// Where the process ended before it had made them all: how.
    pub ended: Option<Exit>,
}

const LOADED: u32 = 1 << 31;
const DONE: u32 = 1 << 30;
/// What an answer has on top, so that one that was not given is told from success.
const GIVEN: u32 = 1 << 16;
/// MAX_ERRNO: the kernel makes more than this of SECCOMP_RET_ERRNO this.
const MAX_ERRNO: u32 = 4095;

/// Has a child make the calls under `program`, for at most `within`.
///
/// # Errors
/// EINVAL if some return of the program is not a refusal by an errno from 1 to 4095. ETIMEDOUT. Those of mmap(2), clone3(2)
/// and of loading the program.
pub fn answers(program: &[Instruction], calls: &[Call], within: Duration) -> Result<Answers> {
    if !refuses_everything(program) {
        return Err(Errno::EINVAL);
    }
    let shared = Shared::new(calls.len() + 1)?;
    let words = shared.words();
    let (Some(state), Some(slots)) = (words.first(), words.get(1..)) else { return Err(Errno::EINVAL) };
    let (pidfd, deadline) = match process::clone(0, None)? {
        Cloned::Child => be_victim(program, calls, state, slots),
        Cloned::Parent { pidfd, .. } => (pidfd, Instant::now() + within),
    };
    let mut ended = None;
    while ended.is_none() && state.load(Ordering::Acquire) & DONE == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
        ended = wait::try_wait(pidfd.as_fd())?;
    }
    if ended.is_none() {
        // It may have ended in between, which the wait tells.
        let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        wait::wait(pidfd.as_fd())?;
    }
    let state = state.load(Ordering::Acquire);
    match state & MAX_ERRNO {
        0 if state & LOADED != 0 && (state & DONE != 0 || ended.is_some()) => {}
        0 => return Err(Errno::ETIMEDOUT),
        errno => return Err(Errno::from_raw(errno as i32)),
    }
    let given = slots.iter().map(|slot| slot.load(Ordering::Acquire)).take_while(|word| word & GIVEN != 0);
    Ok(Answers { errnos: given.map(|word| word as u16).collect(), ended })
}

/// Whether no call gets past a program, whatever the call: every return gives a constant errno.
fn refuses_everything(program: &[Instruction]) -> bool {
    const RETURNS: u16 = 0x06;
    const CLASS: u16 = 0x07;
    const CONSTANT: u16 = 0x06;
    let mut returns = program.iter().filter(|instruction| instruction.code & CLASS == RETURNS);
    let refusal = |k: u32| k & 0xffff_0000 == libc::SECCOMP_RET_ERRNO && (1..=MAX_ERRNO).contains(&(k & 0xffff));
    returns.all(|instruction| instruction.code == CONSTANT && refusal(instruction.k))
}

/// The child, from the clone on: it allocates nothing, and does not return.
fn be_victim(program: &[Instruction], calls: &[Call], state: &AtomicU32, slots: &[AtomicU32]) -> ! {
    if let Err(errno) = prepare().and_then(|()| seccomp::load(program, 0).map(drop)) {
        state.store(errno as u32, Ordering::Release);
        process::exit(1);
    }
    state.store(LOADED, Ordering::Release);
    for (call, slot) in calls.iter().zip(slots) {
        // SAFETY: the program was loaded, or else this is not reached, and refuses whatever the kernel asks it about, which is
        // every call but uprobe and uretprobe (Linux 6.14): these end a process that is not traced, or fail. None has another effect.
        let answer = unsafe { call.make() };
        slot.store(GIVEN | answer, Ordering::Release);
    }
    state.store(LOADED | DONE, Ordering::Release);
    loop {
        std::hint::spin_loop();
    }
}

fn prepare() -> Result<()> {
    // It cannot end itself, so it ends with who waits for it; and a handler could not return.
    ids::set_parent_death_signal(libc::SIGKILL)?;
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGSYS, libc::SIGTRAP] {
        // SAFETY: the default action runs no code of this process.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(Errno::last());
        }
    }
    ids::set_no_new_privs()
}

impl Call {
    /// Makes the call; its errno, or 0.
    ///
    /// # Safety
    /// The call must be one that the kernel refuses, or have no effect on this process.
    unsafe fn make(&self) -> u32 {
        let [a, b, c, d, e, f] = self.args;
        let value = match self.entry {
            // SAFETY: the caller's promise.
            Entry::Native => match unsafe { libc::syscall(self.number as libc::c_long, a, b, c, d, e, f) } {
                -1 => -i64::from(Errno::last_raw()),
                value => value,
            },
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            Entry::Int80 => unsafe { x86::int80(self.number, &self.args) },
            // SAFETY: the caller's promise.
            #[cfg(target_arch = "x86_64")]
            Entry::Vsyscall => unsafe { x86::vsyscall(self.number) },
            #[cfg(not(target_arch = "x86_64"))]
            Entry::Int80 | Entry::Vsyscall => -i64::from(libc::ENOSYS),
        };
        u32::try_from(-value).unwrap_or(0).min(MAX_ERRNO)
    }
}

/// i386's getpid from 64-bit code.
#[cfg(target_arch = "x86_64")]
pub(crate) fn getpid_i386() -> Result<i64> {
    // SAFETY: number 20 of i386's table takes no arguments and changes nothing.
    let value = unsafe { x86::int80(20, &[0; 6]) };
    if value < 0 { Err(Errno::from_raw(i32::try_from(-value).unwrap_or(libc::ENOSYS))) } else { Ok(value) }
}

/// i386's getpid, which this machine has not.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn getpid_i386() -> Result<i64> {
    Err(Errno::ENOSYS)
}

/// Memory that a child shares.
struct Shared {
    first: *const AtomicU32,
    words: usize,
}

impl Shared {
    fn new(words: usize) -> Result<Shared> {
        let bytes = words.checked_mul(size_of::<AtomicU32>()).ok_or(Errno::ENOMEM)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, where the kernel likes, replaces nothing.
        let first = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if first == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Shared { first: first.cast(), words })
    }

    fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping has this many zeroed words, page-aligned, until this value is dropped; what the child writes to
        // them it writes atomically.
        unsafe { std::slice::from_raw_parts(self.first, self.words) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing borrows from it any more.
        let _ = ret(unsafe { libc::munmap(self.first.cast_mut().cast(), self.words * size_of::<AtomicU32>()) }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(k: u32) -> [Instruction; 1] {
        [Instruction { code: 0x06, jt: 0, jf: 0, k }]
    }

    #[test]
    fn a_program_that_lets_a_call_through_is_not_taken() {
        let call = Call { entry: Entry::Native, number: libc::SYS_exit_group as u64, args: [7; 6] };
        let ask = |program: &[Instruction]| answers(program, &[call; 3], Duration::from_secs(20));
        for action in [0x7fff_0000, 0x7ffc_0000, 0x7fc0_0000, 0x7ff0_0000, 0x8000_0000, 0, 0x0005_0000, 0x0005_1000] {
            assert_eq!(ask(&returns(action)), Err(Errno::EINVAL), "{action:#x}");
        }
        assert_eq!(ask(&[Instruction { code: 0x16, ..returns(0x0005_0001)[0] }]), Err(Errno::EINVAL));
        assert_eq!(ask(&returns(0x0005_0fff)), Ok(Answers { errnos: vec![4095; 3], ended: None }));
        assert_eq!(ask(&[]), Err(Errno::EINVAL), "the kernel's word on a program without instructions");
    }
}
