//! A caller's memory with two paths, for tests of handlers that read some.

use crate::memory::Memory;
use nix::errno::Errno;

/// `a` at 0x1000, `/b` at 0x2000, nothing at 0x3000.
pub struct Caller;

impl Memory for Caller {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let text: &[u8] = match address {
            0x1000 => b"a",
            0x2000 => b"/b",
            0x3000 => b"",
            _ => return Err(Errno::EFAULT),
        };
        buffer.fill(0);
        buffer.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
        Ok(())
    }
}
