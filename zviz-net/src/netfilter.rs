//! The kernel's netfilter.

use crate::error::Result;
use crate::netlink::Netlink;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::libc;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};

/// nf_tables of linux/netfilter/nfnetlink.h, as the upper byte of a message's kind.
pub const TABLES: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;

/// NFPROTO_INET: the family of every table of ours.
pub const INET: i32 = libc::NFPROTO_INET;

/// Bytes of struct nfgenmsg, before a message's attributes.
pub const GENERAL: usize = 4;

/// A socket of NETLINK_NETFILTER. The kernel looks at the rights of who opened it, and of who sends: CAP_NET_ADMIN in the user
/// namespace that owns the network namespace, both times.
#[derive(Debug)]
pub struct Netfilter(Netlink);

impl Netfilter {
    /// Opens one in the network namespace that this process is in.
    ///
    /// # Errors
    /// Of socket(2) and bind(2).
    pub fn open() -> Result<Netfilter> {
        Netlink::open(NETLINK_NETFILTER, "netfilter").map(Netfilter)
    }
}

impl Deref for Netfilter {
    type Target = Netlink;

    fn deref(&self) -> &Netlink {
        &self.0
    }
}

impl AsFd for Netfilter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
