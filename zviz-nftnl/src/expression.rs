//! Expressions of a rule. libnftnl: include/libnftnl/expr.h; their meaning: nft(8).

use crate::some;
use nftnl::Rule;
use nftnl::expr::Expression;
use nftnl::nftnl_sys::{self as sys, nftnl_expr};
use nftnl::set::Set;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;

/// The rule goes on while packets come at most, or only if they come more often than, so many times in a second.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Packets in a second.
    pub per_second: u32,
    /// Packets at once.
    pub burst: u32,
    /// Whether it goes on above the limit, instead of below.
    pub over: bool,
}

/// The rule goes on if there are more connections than this that have come by it.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionsOver(pub u32);

/// A copy of the packet for who listens at a group of nfnetlink_log.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// The group.
    pub group: u16,
    /// What the copy is marked with. At most 127 bytes, or the kernel refuses the rule.
    pub prefix: &'a CStr,
}

/// A header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// That of IP.
    Network,
    /// The one behind it.
    Transport,
}

/// Loads bytes of a packet to a register.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Of which header.
    pub base: Base,
    /// From this byte of it on.
    pub offset: u32,
    /// So many.
    pub length: u32,
    /// The register, by the kernel's number.
    pub register: u32,
}

/// What has been loaded to the first register and those behind it is in a set from now on, for as long as the set keeps elements;
/// or it is not any more.
#[derive(Debug, Clone)]
pub struct Update {
    /// The set's name.
    pub set: CString,
    /// Its number in the transaction.
    pub id: u32,
    /// Whether it is taken away.
    pub takes: bool,
}

impl Update {
    /// Into this one, or out of it.
    #[must_use]
    pub fn of<K>(set: &Set<'_, K>, takes: bool) -> Update {
        Update { set: set.get_name().to_owned(), id: set.get_id(), takes }
    }
}

/// Connection tracking leaves the packet alone, where it has not seen it yet.
#[derive(Debug, Clone, Copy)]
pub struct Untrack;

/// Loads what kind of address one of the packet's is: unicast, local, and so on, as routes are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Of its source.
    Source,
    /// Of its destination.
    Destination,
}

/// Loads whether a packet of IPv6 has a routing header: 1, or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed;

impl AddressKind {
    /// Of this network namespace. RTN_LOCAL of rtnetlink(7), as [`AddressKind`] loads it.
    pub const LOCAL: u32 = 2;
}

/// linux/netfilter/nf_tables.h: the condition is inverted, of both limits.
const INVERTED: u32 = 1;

/// There: NFT_LIMIT_PKTS.
const PACKETS: u32 = 0;

/// There: NFT_FIB_RESULT_ADDRTYPE.
const ADDRESS_KIND: u32 = 3;

/// There: NFT_EXTHDR_OP_IPV6 and NFT_EXTHDR_F_PRESENT; and the header's number. RFC 8200.
const OF_IPV6: u32 = 0;
const PRESENT: u32 = 1;
const ROUTING: u8 = 43;

/// There: NFTA_FIB_F_SADDR and NFTA_FIB_F_DADDR.
const OF_SOURCE: u32 = 1;
const OF_DESTINATION: u32 = 2;

/// There: NFT_PAYLOAD_NETWORK_HEADER and NFT_PAYLOAD_TRANSPORT_HEADER.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// There: NFT_DYNSET_OP_UPDATE and, since Linux 5.5, NFT_DYNSET_OP_DELETE.
const UPDATE: u32 = 1;
const DELETE: u32 = 2;

/// There: NFT_REG_1, which everything of nftnl loads to and compares.
const REGISTER: u32 = 1;

/// An expression of libnftnl that nothing else points to yet.
struct Made(NonNull<nftnl_expr>);

impl Made {
    fn new(kind: &CStr) -> Made {
        // SAFETY: the name ends with a zero byte, and libnftnl only compares it with those that it knows. An unknown one gives
        // null, which `some` looks at.
        Made(some(unsafe { sys::nftnl_expr_alloc(kind.as_ptr()) }))
    }

    fn u8(self, attribute: u32, value: u8) -> Made {
        // SAFETY: as of u16, and the attributes are of 8 bits.
        unsafe { sys::nftnl_expr_set_u8(self.0.as_ptr(), number(attribute), value) };
        self
    }

    fn u16(self, attribute: u32, value: u16) -> Made {
        // SAFETY: the expression is alive, for `self` holds it until it is given to a rule. The callers below name attributes
        // that libnftnl keeps in 16 bits.
        unsafe { sys::nftnl_expr_set_u16(self.0.as_ptr(), number(attribute), value) };
        self
    }

    fn u32(self, attribute: u32, value: u32) -> Made {
        // SAFETY: as of u16, and the attributes are of 32 bits.
        unsafe { sys::nftnl_expr_set_u32(self.0.as_ptr(), number(attribute), value) };
        self
    }

    fn u64(self, attribute: u32, value: u64) -> Made {
        // SAFETY: as of u16, and the attributes are of 64 bits.
        unsafe { sys::nftnl_expr_set_u64(self.0.as_ptr(), number(attribute), value) };
        self
    }

    fn text(self, attribute: u32, value: &CStr) -> Made {
        // SAFETY: as of u16, the text ends with a zero byte, and libnftnl makes its own copy before this returns.
        unsafe { sys::nftnl_expr_set_str(self.0.as_ptr(), number(attribute), value.as_ptr()) };
        self
    }
}

/// Attributes are a dozen for every kind of expression; the bindings give them as a wider type than the functions take.
fn number(attribute: u32) -> u16 {
    u16::try_from(attribute).unwrap_or(u16::MAX)
}

impl Expression for Limit {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"limit")
            .u64(sys::NFTNL_EXPR_LIMIT_RATE, self.per_second.into())
            .u64(sys::NFTNL_EXPR_LIMIT_UNIT, 1)
            .u32(sys::NFTNL_EXPR_LIMIT_BURST, self.burst)
            .u32(sys::NFTNL_EXPR_LIMIT_TYPE, PACKETS)
            .u32(sys::NFTNL_EXPR_LIMIT_FLAGS, if self.over { INVERTED } else { 0 })
            .0
    }
}

impl Expression for ConnectionsOver {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"connlimit")
            .u32(sys::NFTNL_EXPR_CONNLIMIT_COUNT, self.0)
            .u32(sys::NFTNL_EXPR_CONNLIMIT_FLAGS, INVERTED)
            .0
    }
}

impl Expression for Log<'_> {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"log").text(sys::NFTNL_EXPR_LOG_PREFIX, self.prefix).u16(sys::NFTNL_EXPR_LOG_GROUP, self.group).0
    }
}

impl Expression for Load {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        let base = match self.base {
            Base::Network => NETWORK,
            Base::Transport => TRANSPORT,
        };
        Made::new(c"payload")
            .u32(sys::NFTNL_EXPR_PAYLOAD_DREG, self.register)
            .u32(sys::NFTNL_EXPR_PAYLOAD_BASE, base)
            .u32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, self.offset)
            .u32(sys::NFTNL_EXPR_PAYLOAD_LEN, self.length)
            .0
    }
}

impl Expression for Update {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"dynset")
            .u32(sys::NFTNL_EXPR_DYNSET_SREG_KEY, REGISTER)
            .u32(sys::NFTNL_EXPR_DYNSET_OP, if self.takes { DELETE } else { UPDATE })
            .text(sys::NFTNL_EXPR_DYNSET_SET_NAME, &self.set)
            .u32(sys::NFTNL_EXPR_DYNSET_SET_ID, self.id)
            .0
    }
}

impl Expression for Untrack {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"notrack").0
    }
}

impl Expression for AddressKind {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"fib")
            .u32(sys::NFTNL_EXPR_FIB_RESULT, ADDRESS_KIND)
            .u32(sys::NFTNL_EXPR_FIB_FLAGS, if *self == AddressKind::Source { OF_SOURCE } else { OF_DESTINATION })
            .u32(sys::NFTNL_EXPR_FIB_DREG, REGISTER)
            .0
    }
}

impl Expression for Routed {
    fn to_expr(&self, _: &Rule) -> NonNull<nftnl_expr> {
        Made::new(c"exthdr")
            .u32(sys::NFTNL_EXPR_EXTHDR_OP, OF_IPV6)
            .u8(sys::NFTNL_EXPR_EXTHDR_TYPE, ROUTING)
            .u32(sys::NFTNL_EXPR_EXTHDR_FLAGS, PRESENT)
            .u32(sys::NFTNL_EXPR_EXTHDR_OFFSET, 0)
            .u32(sys::NFTNL_EXPR_EXTHDR_LEN, 1)
            .u32(sys::NFTNL_EXPR_EXTHDR_DREG, REGISTER)
            .0
    }
}
