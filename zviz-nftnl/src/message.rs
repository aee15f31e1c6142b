//! A message whose bytes were written elsewhere, among those of a batch.

use nftnl::{MsgType, NlMsg};
use std::ffi::c_void;

/// The most bytes of one. A batch has room for 64 KiB and a page.
pub const MOST: usize = 4096;

/// The bytes of one whole netlink message, its header included.
#[derive(Debug, Clone)]
pub struct Message(Vec<u8>);

impl Message {
    /// None if they are fewer than a header, more than [`MOST`], or not as many as their header says.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Message> {
        let length =
            bytes.first_chunk::<16>().map(|header| u32::from_ne_bytes([header[0], header[1], header[2], header[3]]))?;
        let whole = usize::try_from(length).ok()? == bytes.len();
        // The next message begins where libnftnl's own length ends, which is a multiple of 4.
        (whole && bytes.len() <= MOST && bytes.len().is_multiple_of(4)).then_some(Message(bytes))
    }
}

// SAFETY: it never writes more than `MOST` bytes, which are far fewer than `nft_nlmsg_maxsize` gives.
unsafe impl NlMsg for Message {
    unsafe fn write(&self, buffer: *mut c_void, _sequence: u32, _: MsgType) {
        // SAFETY: who calls this gives room for `nft_nlmsg_maxsize` bytes, and the vector is not part of it.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), buffer.cast(), self.0.len()) };
    }
}
