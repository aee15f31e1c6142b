//! Addresses of names, in the sets of the rules.

use crate::error::{Error, Result};
use crate::netfilter::Netfilter;
use crate::transaction::Transaction;
use nftnl::{MsgType, ProtoFamily, Table};
use std::collections::HashMap;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zviz_dns::Pin;
use zviz_nftnl::set::{Address, add, timed};

/// The most elements of all sets: more than that are refused, as the kernel refuses more than a set's own size.
const MOST: usize = 1 << 16;
/// Bytes of a change that are made room for at once: 64 addresses of a set take some 12 KiB.
const ROOM: u32 = 32 << 10;
/// An element stays so much longer than it has to, so that a reply whose seconds are rounded does not outlive it.
const LONGER: Duration = Duration::from_secs(1);

/// The sets of a table, as far as they were filled from here. Nobody else fills them.
#[derive(Debug)]
pub(super) struct Pins {
    socket: Netfilter,
    table: CString,
    until: HashMap<(Arc<str>, IpAddr), Instant>,
}

impl Pins {
    /// Of this table, in the namespace that this process is in.
    ///
    /// # Errors
    /// Of the socket, and a table that cannot be one.
    pub(super) fn open(table: &str) -> Result<Pins> {
        let table =
            CString::new(table).map_err(|_| Error::new(format!("the table {table:?} has a zero in its name")))?;
        Ok(Pins { socket: Netfilter::open()?, table, until: HashMap::new() })
    }

    /// Puts them in, all or none. One that is there for as long already is left alone, and none is made to end before it
    /// would have.
    ///
    /// # Errors
    /// What the kernel refuses: of a set that is full, ENFILE or ENOSPC.
    pub(super) fn put(&mut self, now: Instant, pins: &[Pin]) -> Result<()> {
        let mut short: Vec<(Arc<str>, Vec<IpAddr>, Duration)> = Vec::new();
        for pin in pins {
            let lasts = |address: &IpAddr| self.until.get(&(Arc::clone(&pin.set), *address)).copied();
            let ends_before = |address: &&IpAddr| lasts(address).is_none_or(|until| until < now + pin.lifetime);
            let addresses: Vec<IpAddr> = pin.addresses.iter().filter(ends_before).copied().collect();
            if !addresses.is_empty() {
                short.push((Arc::clone(&pin.set), addresses, pin.lifetime + LONGER));
            }
        }
        if short.is_empty() {
            return Ok(());
        }
        let new = short.iter().map(|(_, addresses, _)| addresses.len()).sum::<usize>();
        if self.until.len() + new > MOST {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() + new > MOST {
            return Err(Error::new("more addresses than are kept"));
        }
        self.commit(&short)?;
        for (set, addresses, lifetime) in short {
            self.until.extend(addresses.into_iter().map(|address| ((Arc::clone(&set), address), now + lifetime)));
        }
        Ok(())
    }

    fn commit(&self, short: &[(Arc<str>, Vec<IpAddr>, Duration)]) -> Result<()> {
        let table = Table::new(&self.table, ProtoFamily::Inet);
        let mut changes = Transaction::with_room(ROOM);
        for (part, (set, addresses, lifetime)) in short.iter().enumerate() {
            let name =
                CString::new(&**set).map_err(|_| Error::new(format!("the set {set:?} has a zero in its name")))?;
            let four: Vec<Ipv4Addr> =
                addresses.iter().filter_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None }).collect();
            let six: Vec<Ipv6Addr> =
                addresses.iter().filter_map(|a| if let IpAddr::V6(a) = a { Some(*a) } else { None }).collect();
            // Before Linux 6.12 an element that is there keeps the time that it has, and one that is not cannot be removed.
            for (kind, lifetime) in [(MsgType::Add, *lifetime), (MsgType::Del, *lifetime), (MsgType::Add, *lifetime)] {
                elements(&mut changes, &table, &name, &four, kind, lifetime, part);
                elements(&mut changes, &table, &name, &six, kind, lifetime, part);
            }
        }
        let name = |part: usize| short.get(part).map_or_else(String::new, |(set, ..)| format!("set {set}"));
        changes
            .commit(&self.socket)
            .map_err(|failure| failure.of(&format!("table {}", self.table.to_string_lossy()), name))
    }
}

fn elements<K: Address>(
    changes: &mut Transaction<usize>,
    table: &Table,
    name: &CString,
    addresses: &[K],
    kind: MsgType,
    lifetime: Duration,
    part: usize,
) {
    if addresses.is_empty() {
        return;
    }
    let mut set = timed(name, 0, table, 0);
    for address in addresses {
        add(&mut set, address, Some(lifetime));
    }
    changes.elements(&set, kind, part);
}
