//! Numbers that none can foresee, from the kernel: opened while files can be, and read a little at a time.

use std::fs::File;
use std::io::{self, Read};

/// How many bytes are read at once.
const AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Random {
    from: File,
    left: Vec<u8>,
}

impl Random {
    pub(super) fn open() -> io::Result<Random> {
        let mut random = Random { from: File::open("/dev/urandom")?, left: Vec::new() };
        random.fill()?;
        Ok(random)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; AT_ONCE];
        self.from.read_exact(&mut bytes)?;
        self.left = bytes;
        Ok(())
    }

    /// Two bytes. urandom(4) does not fail once it could be read; who has no such numbers must not go on with others.
    pub(super) fn next(&mut self) -> u16 {
        loop {
            if let (Some(high), Some(low)) = (self.left.pop(), self.left.pop()) {
                return u16::from_be_bytes([high, low]);
            }
            if self.fill().is_err() {
                std::process::abort();
            }
        }
    }
}
