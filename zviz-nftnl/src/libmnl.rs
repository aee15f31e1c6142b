//! The functions of libmnl that libnftnl calls. Debian packages no static libmnl, and every program of zviz is static: it loads
//! nothing from anywhere, and starts in half the time. Their contract is libmnl/libmnl.h's; the layout netlink(7)'s.
//!
//! Messages are written here, and none is read: what the kernel answers is read by safe code. So the functions that read are
//! here for libnftnl's parsers, which are linked and never called.

mod batch;
mod read;
mod socket;
mod write;

/// Messages and attributes begin at multiples of this.
const ALIGNED: usize = 4;

/// As struct nlattr.
#[repr(C)]
pub struct Attribute {
    length: u16,
    kind: u16,
}

/// Bytes of an attribute's header.
const ATTRIBUTE: usize = size_of::<Attribute>();

/// As struct nlmsghdr.
#[repr(C)]
pub struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// Bytes of a message's header.
const HEADER: usize = size_of::<Header>();

/// A number of 32 bits that counts bytes in memory.
fn bytes(length: u32) -> usize {
    length as usize
}

#[cfg(test)]
mod tests {
    use super::batch::*;
    use super::read::*;
    use super::write::*;
    use super::{Attribute, Header};
    use std::ffi::{c_int, c_void};

    /// Aligned as malloc gives it.
    #[repr(align(16))]
    struct Buffer([u8; 256]);

    /// A message with attributes of every kind, and how many of its bytes are filled.
    fn message(buffer: &mut Buffer) -> usize {
        buffer.0.fill(0xaa);
        let start: *mut c_void = buffer.0.as_mut_ptr().cast();
        // SAFETY: the buffer has more room than what is written, and is aligned.
        unsafe {
            let header = mnl_nlmsg_put_header(start);
            mnl_nlmsg_put_extra_header(header, 4);
            mnl_attr_put_u8(header, 1, 0x11);
            let nest = mnl_attr_nest_start(header, 2);
            mnl_attr_put_u16(header, 3, 0x2233);
            mnl_attr_put_u64(header, 4, 5);
            mnl_attr_nest_end(header, nest);
            mnl_attr_put_strz(header, 5, c"abcd".as_ptr());
            mnl_attr_put_str(header, 6, c"abcd".as_ptr());
            mnl_attr_put_u32(header, 7, 7);
            mnl_attr_put(header, 8, 0, std::ptr::null());
            (*header).length as usize
        }
    }

    #[test]
    fn attributes_are_laid_out_as_the_kernel_reads_them() {
        let mut buffer = Buffer([0; 256]);
        let length = message(&mut buffer);
        let expected: Vec<u8> = [
            &[84, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[5, 0, 1, 0, 0x11, 0, 0, 0],
            &[24, 0, 2, 0x80, 6, 0, 3, 0, 0x33, 0x22, 0, 0, 12, 0, 4, 0, 5, 0, 0, 0, 0, 0, 0, 0],
            &[9, 0, 5, 0, b'a', b'b', b'c', b'd', 0, 0, 0, 0],
            &[8, 0, 6, 0, b'a', b'b', b'c', b'd'],
            &[8, 0, 7, 0, 7, 0, 0, 0],
            &[4, 0, 8, 0],
        ]
        .concat();
        assert_eq!((&buffer.0[..length], length), (&expected[..], 84));
        assert_eq!(buffer.0[length], 0xaa);
    }

    #[test]
    fn what_is_written_is_read() {
        unsafe extern "C" fn kinds(attribute: *const Attribute, seen: *mut c_void) -> c_int {
            // SAFETY: `parse` gives whole attributes, and what this test passed.
            unsafe {
                (*seen.cast::<Vec<(u16, u16)>>())
                    .push((mnl_attr_get_type(attribute), mnl_attr_get_payload_len(attribute)))
            };
            1
        }
        let mut buffer = Buffer([0; 256]);
        message(&mut buffer);
        let mut seen: Vec<(u16, u16)> = Vec::new();
        // SAFETY: a whole message, and what the callback takes.
        let outcome = unsafe { mnl_attr_parse(buffer.0.as_ptr().cast::<Header>(), 4, kinds, (&raw mut seen).cast()) };
        assert_eq!((outcome, seen), (1, vec![(1, 1), (2, 20), (5, 5), (6, 4), (7, 4), (8, 0)]));
        let mut seen: Vec<(u16, u16)> = Vec::new();
        // SAFETY: the nest begins at byte 28.
        unsafe {
            let nest = buffer.0.as_ptr().add(28).cast::<Attribute>();
            mnl_attr_parse_nested(nest, kinds, (&raw mut seen).cast());
            assert_eq!(mnl_attr_type_valid(nest, 2), 1);
            assert_eq!((mnl_attr_type_valid(nest, 1), mnl_attr_validate(nest, 3)), (-1, -1));
        }
        assert_eq!(seen, [(3, 2), (4, 8)]);
    }

    #[test]
    fn a_batch_takes_what_fits() {
        let mut page = vec![0_u64; 64];
        // SAFETY: the page has room for the limit and a message behind it, and outlives the batch.
        unsafe {
            let batch = mnl_nlmsg_batch_start(page.as_mut_ptr().cast(), 40);
            assert!(mnl_nlmsg_batch_is_empty(batch));
            for (fits, size) in [(true, 16), (true, 32), (false, 32)] {
                mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
                assert_eq!((mnl_nlmsg_batch_next(batch), mnl_nlmsg_batch_size(batch)), (fits, size));
            }
            assert_eq!(mnl_nlmsg_batch_head(batch), page.as_mut_ptr().cast());
            mnl_nlmsg_batch_stop(batch);
        }
    }
}
