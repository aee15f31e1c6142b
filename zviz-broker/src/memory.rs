//! What a waiting call points to: read once, into memory of the broker's own.

use nix::errno::Errno;

/// The smallest page of the architectures that are served. A read within one page gives all of it or nothing.
const PAGE: u64 = 4096;
/// With its terminator, as the kernel has it.
pub const PATH_MAX: usize = 4096;
/// Of a string this much is read first: paths are hardly ever longer, and a page takes a quarter more time.
const FIRST: usize = 256;

/// The memory of the process that waits.
pub trait Memory {
    /// Fills the whole buffer. It is never asked for more than one page at a time.
    ///
    /// # Errors
    /// EFAULT where nothing is mapped; ESRCH if the process is gone.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno>;
}

/// Reads `length` bytes. The caller bounds the length.
///
/// # Errors
/// EFAULT as the kernel would.
pub fn bytes(memory: &mut dyn Memory, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut whole = vec![0; length];
    let mut at = address;
    let mut rest = whole.as_mut_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut(rest.len().min(to_page_end(at)));
        memory.read(at, now)?;
        at = at.checked_add(now.len() as u64).ok_or(Errno::EFAULT)?;
        rest = later;
    }
    Ok(whole)
}

/// Reads up to a NUL byte, which is not part of the result.
///
/// # Errors
/// EFAULT; `too_long` if there is none among the first `most` bytes.
pub fn c_string(memory: &mut dyn Memory, address: u64, most: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < most {
        let start = text.len();
        let now = to_page_end(at).min(most - start).min(if start == 0 { FIRST } else { most });
        text.resize(start + now, 0);
        let chunk = text.get_mut(start..).ok_or(Errno::EFAULT)?;
        memory.read(at, chunk)?;
        if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return Ok(text);
        }
        at = at.checked_add(now as u64).ok_or(Errno::EFAULT)?;
    }
    Err(too_long)
}

/// A path argument, as getname() of the kernel takes it.
///
/// # Errors
/// EFAULT, ENAMETOOLONG.
pub fn path(memory: &mut dyn Memory, address: u64) -> Result<Vec<u8>, Errno> {
    c_string(memory, address, PATH_MAX, Errno::ENAMETOOLONG)
}

fn to_page_end(address: u64) -> usize {
    // At most a page, so it fits.
    (PAGE - address % PAGE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two mapped pages; nothing around them.
    struct Pages(Vec<u8>, Vec<(u64, usize)>);
    const BASE: u64 = 0x10_000;

    impl Memory for Pages {
        fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
            let last = address.checked_add(buffer.len() as u64 - 1).ok_or(Errno::EFAULT)?;
            assert!(address / PAGE == last / PAGE, "a read crosses a page");
            self.1.push((address, buffer.len()));
            let from = usize::try_from(address.checked_sub(BASE).ok_or(Errno::EFAULT)?).map_err(|_| Errno::EFAULT)?;
            buffer.copy_from_slice(self.0.get(from..from + buffer.len()).ok_or(Errno::EFAULT)?);
            Ok(())
        }
    }

    fn pages(text: &[u8], at: usize) -> Pages {
        let mut pages = vec![b'x'; 2 * PAGE as usize];
        pages[at..at + text.len()].copy_from_slice(text);
        Pages(pages, Vec::new())
    }

    #[test]
    fn a_string_at_the_end_of_what_is_mapped_is_read() {
        let end = 2 * PAGE as usize - 5;
        let mut memory = pages(b"/tmp\0", end);
        assert_eq!(path(&mut memory, BASE + end as u64), Ok(b"/tmp".to_vec()));
        // The same without its terminator runs into nothing.
        let mut memory = pages(b"/temp", end);
        assert_eq!(path(&mut memory, BASE + end as u64), Err(Errno::EFAULT));
    }

    #[test]
    fn nothing_is_read_twice_and_length_is_bounded() {
        let mut memory = pages(b"", 0);
        assert_eq!(path(&mut memory, BASE + 10), Err(Errno::ENAMETOOLONG));
        assert_eq!(memory.1, [(BASE + 10, 256), (BASE + 266, 3830), (BASE + 4096, 10)]);
        assert_eq!(path(&mut memory, u64::MAX - 3), Err(Errno::EFAULT));
        assert_eq!(bytes(&mut memory, BASE + 4000, 200).map(|b| b.len()), Ok(200));
        assert_eq!(bytes(&mut memory, BASE + 8000, 200), Err(Errno::EFAULT));
        assert_eq!(bytes(&mut memory, 0, 0), Ok(Vec::new()));
    }
}
