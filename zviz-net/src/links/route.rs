//! A socket of rtnetlink(7), and what is asked of it.

use crate::attributes::{Attributes, Message, Messages};
use crate::error::{Doing, Error, Result};
use crate::netlink::{Listing, Netlink, said};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Request;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::libc;
use std::io;
use std::net::Ipv4Addr;

/// struct ifinfomsg: where its index and its flags are, and its length.
const INDEX: usize = 4;
const FLAGS: usize = 8;
const LINK: usize = 16;

/// Attributes of links, linux/if_link.h.
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const INFO: u16 = 18;
const INFO_KIND: u16 = 1;

/// struct rtmsg: where the bits of its destination are, and its length; linux/rtnetlink.h: RTA_OIF.
const BITS: usize = 1;
const ROUTE: usize = 12;
const DEVICE: u16 = 4;

/// How it is to be made: not if it is there, or if it is there, instead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// An error if it is there.
    New,
    /// As now asked for, if it is there.
    Instead,
    /// Only what is there is changed, or looked at.
    There,
}

/// A link, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is: `bridge`, `veth`; empty for devices of the machine.
    pub kind: String,
    /// Its MAC address.
    pub address: Vec<u8>,
    /// Its longest packet, in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
}

/// A socket of NETLINK_ROUTE.
#[derive(Debug)]
pub struct Route(Netlink);

impl Route {
    /// Opens one in the network namespace that this process is in.
    ///
    /// # Errors
    /// Of socket(2) and bind(2).
    pub fn open() -> Result<Route> {
        Netlink::open(NETLINK_ROUTE, "rtnetlink").map(Route)
    }

    /// Asks for one thing. `what` is what an error calls it.
    ///
    /// # Errors
    /// What the kernel refuses, and of the socket.
    pub fn ask(&self, request: Request, how: How, what: impl FnOnce() -> String) -> Result<()> {
        self.0.send(&written(request, flags(how) | libc::NLM_F_ACK))?;
        let answer = self.0.receive()?.unwrap_or_default();
        let said = Messages(&answer).find_map(|message| said(&message));
        let said = said.ok_or_else(|| Error::new("rtnetlink does not answer"))?;
        let Some(errno) = said.errno else { return Ok(()) };
        let words = said.words.map(|words| format!(" ({words})")).unwrap_or_default();
        Err(io::Error::from(errno)).doing(|| what() + &words)
    }

    /// As [`Route::ask`], where it is no error that it is there.
    ///
    /// # Errors
    /// All others.
    pub fn ensure(&self, request: Request, what: impl FnOnce() -> String) -> Result<()> {
        match self.ask(request, How::New, what) {
            Err(error) if error.is(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// The link of a name; none if there is none.
    ///
    /// # Errors
    /// Of the socket.
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        self.0.send(&written(Request::GetLink(named(name)), 0))?;
        let answer = self.0.receive()?.unwrap_or_default();
        let first = Messages(&answer).next().ok_or_else(|| Error::new("rtnetlink does not answer"))?;
        match said(&first).and_then(|said| said.errno) {
            Some(Errno::ENODEV) => Ok(None),
            Some(errno) => Err(io::Error::from(errno)).doing(|| format!("link {name}")),
            None => link(&first).map(Some).ok_or_else(|| Error::new(format!("link {name}: the answer is none"))),
        }
    }

    /// All links.
    ///
    /// # Errors
    /// Of the socket.
    pub fn links(&self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        self.list(Request::GetLink(LinkMessage::default()), |message| links.extend(link(&message)))?;
        Ok(links)
    }

    /// Every part of the answer to a request for a list.
    ///
    /// # Errors
    /// What the kernel refuses, and of the socket.
    pub fn list(&self, request: Request, each: impl FnMut(Message<'_>)) -> Result<()> {
        match self.0.list(&written(request, libc::NLM_F_DUMP), each) {
            Ok(()) => Ok(()),
            Err(Listing::Other(error)) => Err(error),
            Err(Listing::Kernel(errno)) => Err(io::Error::from(errno)).doing(|| "list of rtnetlink"),
        }
    }

    /// Whereto an address goes: the number of a device, and of how many bits the network is that decides it. None if it goes
    /// nowhere, or the kernel does not say.
    ///
    /// # Errors
    /// Of the socket.
    pub fn way(&self, address: Ipv4Addr) -> Result<Option<(u32, u8)>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 32;
        message.header.flags = RouteFlags::FibMatch;
        message.attributes = vec![RouteAttribute::Destination(RouteAddress::Inet(address))];
        self.0.send(&written(Request::GetRoute(message), 0))?;
        let answer = self.0.receive()?.unwrap_or_default();
        let route = Messages(&answer).find(|message| message.kind == libc::RTM_NEWROUTE);
        Ok(route.and_then(|message| {
            let device =
                Attributes(message.body.get(ROUTE..)?).value(DEVICE)?.try_into().ok().map(u32::from_ne_bytes)?;
            Some((device, *message.body.get(BITS)?))
        }))
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn up(&self, index: u32, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(Request::SetLink(message), How::There, || format!("bring {name} up"))
    }

    /// Removes a link by its name, if it is there.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn remove(&self, name: &str) -> Result<()> {
        match self.ask(Request::DelLink(named(name)), How::There, || format!("remove link {name}")) {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            other => other,
        }
    }
}

/// A link by its name.
fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn flags(how: How) -> i32 {
    match how {
        How::New => libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        How::Instead => libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
        How::There => 0,
    }
}

fn written(request: Request, flags: i32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or(0);
    header.sequence_number = 1;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What a message says of a link; none if it is about none.
fn link(message: &Message<'_>) -> Option<Link> {
    let number = |at: usize| Some(u32::from_ne_bytes(message.body.get(at..at + 4)?.try_into().ok()?));
    let attributes = Attributes(message.body.get(LINK..).filter(|_| message.kind == libc::RTM_NEWLINK)?);
    let mtu = attributes.value(MTU)?.try_into().ok().map(u32::from_ne_bytes)?;
    Some(Link {
        index: number(INDEX)?,
        name: attributes.text(NAME)?,
        kind: attributes.within(INFO).and_then(|info| info.text(INFO_KIND)).unwrap_or_default(),
        address: attributes.value(ADDRESS).unwrap_or_default().to_vec(),
        mtu,
        up: number(FLAGS)? & LinkFlags::Up.bits() != 0,
    })
}
