//! What the nftnl crate cannot say of nftables: limits, counts of connections, logs, kinds of addresses, sets whose elements
//! time out, and messages that were written elsewhere.
//!
//! Three of that crate's safe functions are not: what `Set::elems_iter` gives must not outlive the iterator (only
//! `Batch::add_iter` may consume it), and `Cmp` and `SetKey` overflow libnftnl's buffers when they hold more than 64 bytes.
//! Who uses both crates compares at most 16 bytes, and has no keys but addresses.

pub mod expression;
mod libmnl;
pub mod message;
pub mod set;

use std::ptr::NonNull;

/// What libnftnl has allocated. As in nftnl: who has no memory for a few bytes ends.
fn some<T>(allocated: *mut T) -> NonNull<T> {
    NonNull::new(allocated).unwrap_or_else(|| std::process::abort())
}
