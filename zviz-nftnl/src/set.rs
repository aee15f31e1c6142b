//! Sets of addresses that come and go. nft(8), "SETS".

use crate::some;
use nftnl::nftnl_sys as sys;
use nftnl::set::{Set, SetKey};
use nftnl::{ProtoFamily, Table};
use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// linux/netfilter/nf_tables.h: NFT_SET_TIMEOUT.
const TIMES_OUT: u32 = 0x10;

/// A key whose bytes are as many as libnftnl has room for: no other type can be one.
pub trait Address: SetKey + sealed::Sealed {}

impl Address for Ipv4Addr {}
impl Address for Ipv6Addr {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Ipv4Addr {}
    impl Sealed for super::Ipv6Addr {}
}

/// A named set of a table: of at most `size` elements, each of which goes when its time is over. `id` is its own in the
/// transaction.
#[must_use]
pub fn timed<'a, K: Address>(name: &CStr, id: u32, table: &'a Table, size: u32) -> Set<'a, K> {
    let set = Set::new_named(name, id, table, ProtoFamily::Inet);
    for (attribute, value) in [(sys::NFTNL_SET_FLAGS, TIMES_OUT), (sys::NFTNL_SET_DESC_SIZE, size)] {
        // SAFETY: `set` owns what the pointer leads to until it is dropped, nothing else refers to it, and libnftnl keeps both
        // attributes in 32 bits.
        unsafe { sys::nftnl_set_set_u32(set.as_ptr().as_ptr(), short(attribute), value) };
    }
    set
}

/// An address, a port of its, and a port here: a key whose parts begin at multiples of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<A> {
    /// The address.
    pub address: A,
    /// Its port, and the one here.
    pub ports: [u16; 2],
}

/// libnftables: a type of several is the numbers of their types, of six bits each; 13 is a port.
const fn with_ports(address: u32) -> u32 {
    address << 12 | 13 << 6 | 13
}

impl<A: Address> SetKey for Peer<A> {
    const TYPE: u32 = with_ports(A::TYPE);
    const LEN: u32 = A::LEN + 8;

    fn data(&self) -> Box<[u8]> {
        let ports = self.ports.map(|port| [port.to_be_bytes(), [0; 2]].concat()).concat();
        [&self.address.data()[..], &ports].concat().into()
    }
}

/// linux/netfilter/nf_tables.h: NFT_SET_EVAL, of sets that rules put elements into.
const BY_RULES: u32 = 0x20;

/// A named set of a table that rules put elements into, each for `time` from the last packet on. `size` and `id` as of [`timed`].
#[must_use]
pub fn remembered<'a, K: SetKey>(name: &CStr, id: u32, table: &'a Table, (size, time): (u32, Duration)) -> Set<'a, K> {
    let set = Set::new_named(name, id, table, ProtoFamily::Inet);
    for (attribute, value) in [(sys::NFTNL_SET_FLAGS, TIMES_OUT | BY_RULES), (sys::NFTNL_SET_DESC_SIZE, size)] {
        // SAFETY: as of `timed`.
        unsafe { sys::nftnl_set_set_u32(set.as_ptr().as_ptr(), short(attribute), value) };
    }
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // SAFETY: as of `timed`, and libnftnl keeps this attribute in 64 bits.
    unsafe { sys::nftnl_set_set_u64(set.as_ptr().as_ptr(), short(sys::NFTNL_SET_TIMEOUT), milliseconds) };
    set
}

/// Adds an address to the elements that a message will carry, for so long, which is cut to milliseconds. None is for ever.
pub fn add<K: Address>(set: &mut Set<'_, K>, address: &K, lifetime: Option<Duration>) {
    let key = address.data();
    let length = u32::try_from(key.len()).unwrap_or(0);
    // SAFETY: it takes nothing; `some` looks at what it gives.
    let element = some(unsafe { sys::nftnl_set_elem_alloc() }).as_ptr();
    // SAFETY: the element is new and only ours. libnftnl copies `length` bytes of the key to a buffer of 64; `Address` is sealed
    // to types of 4 and 16.
    unsafe { sys::nftnl_set_elem_set(element, short(sys::NFTNL_SET_ELEM_KEY), key.as_ptr().cast(), length) };
    if let Some(lifetime) = lifetime {
        let milliseconds = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: as above, and the attribute is of 64 bits.
        unsafe { sys::nftnl_set_elem_set_u64(element, short(sys::NFTNL_SET_ELEM_TIMEOUT), milliseconds) };
    }
    // SAFETY: the set is borrowed for ourselves, so nobody walks its list. It owns the element from here on: we keep no pointer.
    unsafe { sys::nftnl_set_elem_add(set.as_ptr().as_ptr(), element) };
}

/// The bindings give attributes as a wider type than the functions take.
fn short(attribute: u32) -> u16 {
    u16::try_from(attribute).unwrap_or(u16::MAX)
}
