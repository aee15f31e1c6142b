//! Appending and rotating, with nothing but descriptors.

use super::{FileSet, from_io};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use zviz_sys::Errno;

/// A lock that is held for longer has a holder that is stopped, as in a frozen cgroup. Lines are appended without it
/// then: it is rather one line lost, should the holder be just about to empty the file, than none written.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a rotation that failed, for want of room, is left alone.
const PAUSE: Duration = Duration::from_secs(10);
const CHUNK: usize = 64 << 10;

impl FileSet {
    /// Appends lines, all of them or none, as far as that can be had. For who has no thread of its own for it.
    ///
    /// # Errors
    /// EAGAIN: another has the files for a moment, or a signal came; and of write(2).
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Errno> {
        self.lock().map_err(|errno| if errno == Errno::EINTR { Errno::EAGAIN } else { errno })?;
        let written = self.append(lines);
        self.unlock();
        written
    }

    /// Takes the lock, for a few lines.
    ///
    /// # Errors
    /// EAGAIN: another broker has it.
    pub(in crate::audit) fn lock(&mut self) -> Result<(), Errno> {
        match self.current.try_lock() {
            Ok(()) => {
                self.taken_since = None;
                self.locked = true;
                self.size = end(&self.current).inspect_err(|_| self.unlock())?;
                Ok(())
            }
            Err(TryLockError::WouldBlock) => {
                let since = *self.taken_since.get_or_insert_with(Instant::now);
                if since.elapsed() < PATIENCE { Err(Errno::EAGAIN) } else { Ok(()) }
            }
            Err(TryLockError::Error(e)) => Err(from_io(&e)),
        }
    }

    /// Gives it back.
    pub(in crate::audit) fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            // Nothing that can be done: the descriptor is open, and closing it unlocks as well.
            let _ = self.current.unlock();
        }
    }

    /// Appends a line, and rotates before it if it is time.
    ///
    /// # Errors
    /// write(2): ENOSPC, EDQUOT, EFBIG, EIO. The line is not in the file then, as far as that can be had.
    pub(in crate::audit) fn append(&mut self, line: &[u8]) -> Result<(), Errno> {
        let length = line.len() as u64;
        if self.locked && self.size > 0 && self.size.saturating_add(length) > self.max_bytes {
            self.rotate_if_possible();
        }
        if self.cut {
            write(&self.current, b"\n").map_err(|(_, errno)| errno)?;
            self.cut = false;
        }
        match write(&self.current, line) {
            Ok(()) => self.size = self.size.saturating_add(length),
            Err((0, errno)) => return Err(errno),
            Err((_, errno)) => {
                self.cut = !self.locked || self.current.set_len(self.size).is_err();
                return Err(errno);
            }
        }
        Ok(())
    }

    /// A log that is too large is better than none.
    fn rotate_if_possible(&mut self) {
        if self.rotate_after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        self.rotate_after = match self.rotate() {
            Ok(()) => None,
            Err(_) => Some(Instant::now() + PAUSE),
        };
    }

    /// From the oldest to the youngest, so that each file has been copied when it is overwritten.
    fn rotate(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        for pair in self.old.windows(2).rev() {
            if let [younger, older] = pair {
                copy(younger, older, &mut buffer)?;
            }
        }
        if let Some(youngest) = self.old.first() {
            copy(&self.current, youngest, &mut buffer)?;
        }
        self.current.set_len(0)?;
        self.size = 0;
        self.cut = false;
        Ok(())
    }
}

fn end(mut file: &File) -> Result<u64, Errno> {
    // fstat(2) is another system call in each version of glibc. Appending does not look at the offset.
    file.seek(SeekFrom::End(0)).map_err(|e| from_io(&e))
}

/// Writes all, or says how much it wrote: a line is one write(2) unless the disk is full in the middle of it.
fn write(mut file: &File, bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((written, Errno::EIO)),
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err((written, from_io(&e))),
        }
    }
    Ok(())
}

/// Makes `to` hold what `from` does, up to where `from` ends by then.
fn copy(from: &File, to: &File, buffer: &mut [u8]) -> io::Result<()> {
    to.set_len(0)?;
    let mut offset = 0;
    loop {
        let read = match from.read_at(buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all_at(buffer.get(..read).unwrap_or_default(), offset)?;
        offset += read as u64;
    }
}
