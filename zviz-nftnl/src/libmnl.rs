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
