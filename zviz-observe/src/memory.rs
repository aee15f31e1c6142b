//! What a traced program's arguments point to.

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;

/// The smallest page of any architecture. A read within one gives all of it or nothing.
const PAGE: usize = 4096;
/// With its terminator, as the kernel has it.
const PATH_MAX: usize = 4096;

/// Fills the whole buffer, or nothing.
fn read(task: i32, address: u64, buffer: &mut [u8]) -> Option<()> {
    let remote = RemoteIoVec { base: usize::try_from(address).ok()?, len: buffer.len() };
    let length = buffer.len();
    let read = process_vm_readv(Pid::from_raw(task), &mut [IoSliceMut::new(buffer)], &[remote]).ok()?;
    (read == length).then_some(())
}

/// As many bytes. None where nothing is mapped, or if they are more than a path may have: whoever calls bounds them.
pub fn bytes(task: i32, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; (length <= PATH_MAX).then_some(length)?];
    read(task, address, &mut bytes)?;
    Some(bytes)
}

/// A number as the program has it in memory.
pub fn word(task: i32, address: u64) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes(task, address, 8)?.try_into().ok()?))
}

/// A text up to its NUL byte. None where nothing is mapped, or if it is longer than a path.
pub fn text(task: i32, address: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < PATH_MAX {
        let start = text.len();
        let to_page_end = PAGE - usize::try_from(at).ok()? % PAGE;
        let now = to_page_end.min(PATH_MAX - start);
        text.resize(start + now, 0);
        let chunk = text.get_mut(start..)?;
        read(task, at, chunk)?;
        if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return Some(text);
        }
        at = at.checked_add(now as u64)?;
    }
    None
}
