//! Bytes that were read and are not written yet.

use nix::unistd::{read, write};
use std::os::fd::AsFd;
use zviz_sys::Errno;

/// PIPE_BUF: what a pipe that polls writable takes without blocking. pipe(7).
const CHUNK: usize = 4096;

/// What is on its way in one direction.
pub(crate) struct Pending {
    bytes: [u8; CHUNK],
    from: usize,
    to: usize,
}

impl Pending {
    pub(crate) const EMPTY: Pending = Pending { bytes: [0; CHUNK], from: 0, to: 0 };

    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    pub(crate) fn set(&mut self, bytes: &[u8]) {
        (self.from, self.to) = (0, bytes.len().min(CHUNK));
        for (place, byte) in self.bytes.iter_mut().zip(bytes) {
            *place = *byte;
        }
    }

    /// Leaves the first of them, and no more.
    pub(crate) fn keep(&mut self, count: usize) {
        self.to = self.to.min(self.from.saturating_add(count));
    }

    pub(crate) fn fill(&mut self, from: impl AsFd) -> Result<usize, Errno> {
        (self.from, self.to) = (0, 0);
        self.to = read(from, &mut self.bytes)?;
        Ok(self.to)
    }

    pub(crate) fn flush(&mut self, to: impl AsFd) -> Result<(), Errno> {
        self.from += write(to, self.waiting())?;
        Ok(())
    }
}
