//! Messages one after the other in one buffer: the pages of libnftnl's batches.

use super::{Header, bytes};
use std::ffi::c_void;

/// A buffer that is being filled. It is libnftnl's.
pub struct Batch {
    buffer: *mut u8,
    limit: usize,
    filled: usize,
}

/// Begins with an empty buffer.
///
/// # Safety
/// There are `limit` bytes at `buffer`, and room for the largest message behind them, until it is stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_start(buffer: *mut c_void, limit: usize) -> *mut Batch {
    Box::into_raw(Box::new(Batch { buffer: buffer.cast(), limit, filled: 0 }))
}

/// Ends it. The buffer stays.
///
/// # Safety
/// `batch` was started and not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_stop(batch: *mut Batch) {
    // SAFETY: it came from a box in `mnl_nlmsg_batch_start`, and the caller promises that this happens once.
    drop(unsafe { Box::from_raw(batch) });
}

/// Takes the message at its end as written. False if it has grown beyond the limit, and does not belong to it.
///
/// # Safety
/// `batch` was started, and a whole message was written at its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_next(batch: *mut Batch) -> bool {
    // SAFETY: the caller's promise: the batch is nobody else's meanwhile, and what is at its end is a header.
    let (batch, length) = unsafe { (&mut *batch, bytes((*mnl_nlmsg_batch_current(batch).cast::<Header>()).length)) };
    let fits = batch.filled + length <= batch.limit;
    if fits {
        batch.filled += length;
    }
    fits
}

/// Bytes so far.
///
/// # Safety
/// `batch` was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_size(batch: *mut Batch) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*batch).filled }
}

/// Where it begins.
///
/// # Safety
/// `batch` was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_head(batch: *mut Batch) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { (*batch).buffer.cast() }
}

/// Where the next message is to be written.
///
/// # Safety
/// `batch` was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_current(batch: *mut Batch) -> *mut c_void {
    // SAFETY: the caller's promise: what is filled lies within the buffer.
    unsafe { (*batch).buffer.add((*batch).filled).cast() }
}

/// Whether there is nothing in it.
///
/// # Safety
/// `batch` was started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_batch_is_empty(batch: *mut Batch) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*batch).filled == 0 }
}
