//! Attributes behind a message. As in libmnl, who calls has room for them: libnftnl's batch has 64 KiB and a page behind its
//! last message's beginning.

use super::{ALIGNED, ATTRIBUTE, Attribute, HEADER, Header, bytes};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// An attribute that holds others. linux/netlink.h: NLA_F_NESTED.
const NESTED: u16 = 0x8000;

/// Begins a message, of zeroes.
///
/// # Safety
/// There are 16 bytes at `buffer`, aligned to 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_put_header(buffer: *mut c_void) -> *mut Header {
    let header = buffer.cast::<Header>();
    let empty = Header { length: HEADER as u32, kind: 0, flags: 0, sequence: 0, port: 0 };
    // SAFETY: the caller's promise; libnftnl passes where the batch's next message begins, which is a multiple of 4 behind
    // memory of malloc.
    unsafe { header.write(empty) };
    header
}

/// Adds so many zeroes to a message, and tells where they are.
///
/// # Safety
/// `header` is of a message, and there is room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_put_extra_header(header: *mut Header, size: usize) -> *mut c_void {
    let padded = size.next_multiple_of(ALIGNED);
    // SAFETY: the caller's promise: the message is whole so far, so its end is within or right behind its buffer.
    unsafe {
        let place = end(header);
        ptr::write_bytes(place, 0, padded);
        (*header).length += padded as u32;
        place.cast()
    }
}

/// Where the next attribute of a message begins.
///
/// # Safety
/// `header` is of a message.
unsafe fn end(header: *mut Header) -> *mut u8 {
    // SAFETY: the length is what was written so far, all of it in one buffer.
    unsafe { header.cast::<u8>().add(bytes((*header).length).next_multiple_of(ALIGNED)) }
}

/// Adds an attribute: its header, the value, zeroes up to `length`, and zeroes up to a multiple of 4.
///
/// # Safety
/// `header` is of a message with room behind it, and `value` has so many bytes, none of them there.
unsafe fn put(header: *mut Header, kind: u16, value: *const u8, count: usize, length: usize) {
    let whole = ATTRIBUTE + length;
    let padded = whole.next_multiple_of(ALIGNED);
    // An attribute that does not fit its own length would say something else than it holds.
    let Ok(said) = u16::try_from(whole) else { std::process::abort() };
    // SAFETY: the caller's promise; `end` is aligned as an attribute is, `count` is at most `length`, and the zeroes end at
    // `padded`, which is the room that is asked for.
    unsafe {
        let place = end(header);
        place.cast::<Attribute>().write(Attribute { length: said, kind });
        ptr::copy_nonoverlapping(value, place.add(ATTRIBUTE), count);
        ptr::write_bytes(place.add(ATTRIBUTE + count), 0, padded - ATTRIBUTE - count);
        (*header).length = bytes((*header).length).next_multiple_of(ALIGNED) as u32 + padded as u32;
    }
}

/// Adds bytes.
///
/// # Safety
/// As of a message with room behind it; `value` has so many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put(header: *mut Header, kind: u16, length: usize, value: *const c_void) {
    // SAFETY: the caller's promise. A value of no bytes may be null, of which none is read.
    unsafe { put(header, kind, if length == 0 { ptr::dangling() } else { value.cast() }, length, length) };
}

/// Adds a number.
///
/// # Safety
/// As of a message with room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_u8(header: *mut Header, kind: u16, value: u8) {
    // SAFETY: the caller's promise, and the value is our own.
    unsafe { put(header, kind, &raw const value, 1, 1) };
}

/// Adds a number, as it lies in memory.
///
/// # Safety
/// As of a message with room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_u16(header: *mut Header, kind: u16, value: u16) {
    // SAFETY: the caller's promise, and the value is our own.
    unsafe { put(header, kind, (&raw const value).cast(), 2, 2) };
}

/// Adds a number, as it lies in memory.
///
/// # Safety
/// As of a message with room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_u32(header: *mut Header, kind: u16, value: u32) {
    // SAFETY: the caller's promise, and the value is our own.
    unsafe { put(header, kind, (&raw const value).cast(), 4, 4) };
}

/// Adds a number, as it lies in memory.
///
/// # Safety
/// As of a message with room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_u64(header: *mut Header, kind: u16, value: u64) {
    // SAFETY: the caller's promise, and the value is our own.
    unsafe { put(header, kind, (&raw const value).cast(), 8, 8) };
}

/// Adds a text without the zero byte at its end.
///
/// # Safety
/// As of a message with room behind it; the text has a zero byte at its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_str(header: *mut Header, kind: u16, text: *const c_char) {
    // SAFETY: the caller's promise.
    unsafe {
        let length = CStr::from_ptr(text).count_bytes();
        put(header, kind, text.cast(), length, length);
    }
}

/// Adds a text with it.
///
/// # Safety
/// As of a message with room behind it; the text has a zero byte at its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_put_strz(header: *mut Header, kind: u16, text: *const c_char) {
    // SAFETY: the caller's promise. `put` writes the zero byte.
    unsafe {
        let length = CStr::from_ptr(text).count_bytes();
        put(header, kind, text.cast(), length, length + 1);
    }
}

/// Begins an attribute that holds the next ones.
///
/// # Safety
/// As of a message with room behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_nest_start(header: *mut Header, kind: u16) -> *mut Attribute {
    // SAFETY: the caller's promise; no bytes are read of the value.
    unsafe {
        let place = end(header).cast::<Attribute>();
        put(header, kind | NESTED, ptr::dangling(), 0, 0);
        place
    }
}

/// Ends it.
///
/// # Safety
/// `start` is what its beginning gave, of this message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_nest_end(header: *mut Header, start: *mut Attribute) {
    // SAFETY: the caller's promise: both are of one buffer, and the end is behind the start.
    unsafe {
        let length = end(header).offset_from_unsigned(start.cast::<u8>());
        let Ok(length) = u16::try_from(length) else { std::process::abort() };
        (*start).length = length;
    }
}
