//! Attributes of a message that was received.

use super::{ALIGNED, ATTRIBUTE, Attribute, HEADER, Header, bytes};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// An attribute's kind without its flags. linux/netlink.h: NLA_TYPE_MASK.
const KIND: u16 = 0x3fff;

/// libmnl/libmnl.h: enum mnl_attr_data_type, those that have a length.
const LENGTHS: &[(c_uint, u16)] = &[(1, 1), (2, 2), (3, 4), (4, 8), (8, 8)];

/// There: MNL_TYPE_NUL_STRING.
const TEXT: c_uint = 10;

/// There: what a callback says.
const ERROR: c_int = -1;
const STOP: c_int = 0;
const GO_ON: c_int = 1;

/// What is called for each attribute.
pub type Callback = unsafe extern "C" fn(*const Attribute, *mut c_void) -> c_int;

/// Refuses with an errno, as C does.
fn refuse(errno: nftnl::nftnl_sys::libc::c_int) -> c_int {
    // SAFETY: the C library gives where this thread's errno lies, for as long as the thread is.
    unsafe { *nftnl::nftnl_sys::libc::__errno_location() = errno };
    ERROR
}

/// Its kind.
///
/// # Safety
/// `attribute` is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_type(attribute: *const Attribute) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { (*attribute).kind & KIND }
}

/// The bytes of its value.
///
/// # Safety
/// `attribute` is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_payload_len(attribute: *const Attribute) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { (*attribute).length.saturating_sub(ATTRIBUTE as u16) }
}

/// Its value.
///
/// # Safety
/// `attribute` is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_payload(attribute: *const Attribute) -> *mut c_void {
    // SAFETY: the caller's promise: the value is right behind the header.
    unsafe { attribute.cast::<u8>().add(ATTRIBUTE).cast_mut().cast() }
}

/// Its value as a text.
///
/// # Safety
/// `attribute` is one, and its value ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_str(attribute: *const Attribute) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { mnl_attr_get_payload(attribute).cast() }
}

/// Its value as a number.
///
/// # Safety
/// `attribute` is one, and its value has as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_u8(attribute: *const Attribute) -> u8 {
    // SAFETY: the caller's promise.
    unsafe { mnl_attr_get_payload(attribute).cast::<u8>().read() }
}

/// Its value as a number.
///
/// # Safety
/// `attribute` is one, and its value has as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_u16(attribute: *const Attribute) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { mnl_attr_get_payload(attribute).cast::<u16>().read_unaligned() }
}

/// Its value as a number.
///
/// # Safety
/// `attribute` is one, and its value has as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_u32(attribute: *const Attribute) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { mnl_attr_get_payload(attribute).cast::<u32>().read_unaligned() }
}

/// Its value as a number.
///
/// # Safety
/// `attribute` is one, and its value has as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_get_u64(attribute: *const Attribute) -> u64 {
    // SAFETY: the caller's promise; the value is aligned to 4 only.
    unsafe { mnl_attr_get_payload(attribute).cast::<u64>().read_unaligned() }
}

/// Whether there is a whole attribute in what is left.
///
/// # Safety
/// There are `left` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_ok(attribute: *const Attribute, left: c_int) -> bool {
    let Some(left) = usize::try_from(left).ok().filter(|left| *left >= ATTRIBUTE) else { return false };
    // SAFETY: the caller's promise, and they are enough for a header.
    let length = usize::from(unsafe { (*attribute).length });
    (ATTRIBUTE..=left).contains(&length)
}

/// The next one.
///
/// # Safety
/// `attribute` is one; what is given may be behind the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_next(attribute: *const Attribute) -> *mut Attribute {
    // SAFETY: the caller's promise. Of the last, whose end may not be aligned, it is up to three bytes behind the buffer, and
    // is not read: so it is computed without a claim that it lies within.
    unsafe {
        attribute
            .cast::<u8>()
            .wrapping_add(usize::from((*attribute).length).next_multiple_of(ALIGNED))
            .cast_mut()
            .cast()
    }
}

/// 1 if its kind is at most this one, otherwise -1 and EOPNOTSUPP.
///
/// # Safety
/// `attribute` is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_type_valid(attribute: *const Attribute, most: u16) -> c_int {
    // SAFETY: the caller's promise.
    let kind = unsafe { mnl_attr_get_type(attribute) };
    if kind > most { refuse(nftnl::nftnl_sys::libc::EOPNOTSUPP) } else { GO_ON }
}

/// 0 if its value is as a type says, otherwise -1 and ERANGE.
///
/// # Safety
/// `attribute` is one, with all of its value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_validate(attribute: *const Attribute, of: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    let length = unsafe { mnl_attr_get_payload_len(attribute) };
    let wanted = LENGTHS.iter().find(|(known, _)| *known == of).map(|(_, length)| *length);
    // SAFETY: the caller's promise: so many bytes are there.
    let value = unsafe { std::slice::from_raw_parts(mnl_attr_get_payload(attribute).cast::<u8>(), length.into()) };
    let valid =
        wanted.is_none_or(|wanted| wanted == length) && (of != TEXT || CStr::from_bytes_until_nul(value).is_ok());
    if valid { 0 } else { refuse(nftnl::nftnl_sys::libc::ERANGE) }
}

/// Calls for each attribute of so many bytes.
///
/// # Safety
/// There are so many, aligned to 4, and the callback takes what it is given.
unsafe fn each(first: *const u8, mut left: usize, callback: Callback, data: *mut c_void) -> c_int {
    let mut attribute = first.cast::<Attribute>();
    // SAFETY: the caller's promise; `left` is what is left of them, and shrinks by each attribute's whole length.
    unsafe {
        while mnl_attr_ok(attribute, c_int::try_from(left).unwrap_or(c_int::MAX)) {
            let outcome = callback(attribute, data);
            if outcome <= STOP {
                return outcome;
            }
            left = left.saturating_sub(usize::from((*attribute).length).next_multiple_of(ALIGNED));
            attribute = mnl_attr_next(attribute);
        }
    }
    GO_ON
}

/// Calls for each attribute of a message, behind so many bytes of another header.
///
/// # Safety
/// `header` is of a whole message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_parse(
    header: *const Header,
    offset: c_uint,
    callback: Callback,
    data: *mut c_void,
) -> c_int {
    let skipped = HEADER + bytes(offset).next_multiple_of(ALIGNED);
    // SAFETY: the caller's promise; of a message that is shorter than what is skipped nothing is read.
    unsafe {
        let left = bytes((*header).length).saturating_sub(skipped);
        each(header.cast::<u8>().wrapping_add(skipped), left, callback, data)
    }
}

/// Calls for each attribute within one.
///
/// # Safety
/// `attribute` is one, with all of its value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_attr_parse_nested(
    attribute: *const Attribute,
    callback: Callback,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let length = mnl_attr_get_payload_len(attribute).into();
        each(mnl_attr_get_payload(attribute).cast(), length, callback, data)
    }
}

/// What follows a message's header.
///
/// # Safety
/// `header` is of a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mnl_nlmsg_get_payload(header: *const Header) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { header.cast::<u8>().add(HEADER).cast_mut().cast() }
}
