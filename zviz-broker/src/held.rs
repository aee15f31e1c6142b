//! A call that waits for its answer, as its handler sees it.
//!
//! Whoever has looked at the caller's memory cannot let the kernel do the call: another thread could have changed what
//! the kernel would read then. Types see to that: [`Held::let_run`] and [`Held::look`] both take the call away.

use crate::decision::{Decision, Step};
use crate::memory::{self, Memory};
use nix::errno::Errno;

/// A call of which only the registers are known.
pub struct Held<'m> {
    args: [u64; 6],
    memory: &'m mut dyn Memory,
}

/// That only registers have been looked at. Nobody else can make one.
#[derive(Debug, PartialEq, Eq)]
pub struct RegistersOnly(());

/// A call whose memory may be read.
pub struct Seen<'m> {
    args: [u64; 6],
    memory: &'m mut dyn Memory,
}

/// AT_FDCWD, as an int.
pub const AT_FDCWD: i32 = libc::AT_FDCWD;

impl<'m> Held<'m> {
    /// A call with these registers, in that memory.
    pub fn new(args: [u64; 6], memory: &'m mut dyn Memory) -> Self {
        Held { args, memory }
    }

    /// A register as the kernel takes a long, or an address.
    #[must_use]
    pub fn long(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// A register as the kernel takes an int: whatever is in its upper half does not count.
    #[must_use]
    pub fn int(&self, index: usize) -> u32 {
        low(self.long(index))
    }

    /// The kernel does the call.
    #[must_use]
    pub fn let_run(self, rule: &'static str) -> Decision {
        Decision::new(Step::LetRun(RegistersOnly(())), rule)
    }

    /// From here on memory may be read, and the kernel cannot be given the call any more.
    #[must_use]
    pub fn look(self) -> Seen<'m> {
        Seen { args: self.args, memory: self.memory }
    }
}

impl Seen<'_> {
    /// As [`Held::long`].
    #[must_use]
    pub fn long(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// As [`Held::int`].
    #[must_use]
    pub fn int(&self, index: usize) -> u32 {
        low(self.long(index))
    }

    /// A descriptor argument; AT_FDCWD arrives with its upper half zero.
    #[must_use]
    pub fn descriptor(&self, index: usize) -> i32 {
        self.int(index).cast_signed()
    }

    /// A path that an argument points to.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub fn path(&mut self, index: usize) -> Result<Vec<u8>, Errno> {
        let address = self.long(index);
        memory::path(self.memory, address)
    }

    /// A string that an argument points to, or none for a null pointer.
    ///
    /// # Errors
    /// EFAULT; `too_long` above `most` bytes, the terminator included.
    pub fn text(&mut self, index: usize, most: usize, too_long: Errno) -> Result<Option<Vec<u8>>, Errno> {
        match self.long(index) {
            0 => Ok(None),
            address => memory::c_string(self.memory, address, most, too_long).map(Some),
        }
    }

    /// So many bytes that an argument points to.
    ///
    /// # Errors
    /// EFAULT.
    pub fn bytes(&mut self, index: usize, length: usize) -> Result<Vec<u8>, Errno> {
        let address = self.long(index);
        memory::bytes(self.memory, address, length)
    }

    /// So many bytes at an address that memory said.
    ///
    /// # Errors
    /// EFAULT.
    pub fn bytes_at(&mut self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        memory::bytes(self.memory, address, length)
    }
}

fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}
