//! Network devices that are moved into the container with their addresses. config-linux.md, "Network Devices".
//!
//! The kernel flushes a device's addresses and takes it down when it is moved, so they are read before and set after. The
//! runtime speaks to the container's namespace through a socket that it opens while it is in there for a moment.

use super::rtnetlink::{Answer, Body, Rtnetlink, attributes, word};
use crate::plan::Net;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zviz_sys::{path, process};

/// ifaddrmsg, which the attributes of an address follow.
const ADDRESS: usize = 8;

/// Why a device is not in the container.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The container's network namespace.
    #[error("enter the container's network namespace: {}", .0.desc())]
    Namespace(Errno),
    /// One device.
    #[error("linux.netDevices.{device}: {what}: {}", errno.desc())]
    Device {
        /// Its name outside.
        device: String,
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
}

/// Moves the devices of the plan into the network namespace of the process `pid`. Single-threaded callers only: the
/// calling thread is in that namespace for a moment.
pub(crate) fn move_all(net: &Net, proc: BorrowedFd<'_>, pid: i32) -> Result<(), LinkError> {
    let (Net::New { devices } | Net::Join { devices, .. }) = net else { return Ok(()) };
    if devices.is_empty() {
        return Ok(());
    }
    let namespace = open_namespace(proc, &pid.to_string()).map_err(LinkError::Namespace)?;
    let mut inside = open_inside(proc, namespace.as_fd()).map_err(LinkError::Namespace)?;
    for (outside, name) in devices {
        let doing = |what| move |errno| LinkError::Device { device: outside.clone(), what, errno };
        let mut host = Rtnetlink::open().map_err(doing("rtnetlink"))?;
        let index = index(&mut host, outside).map_err(doing("find it"))?;
        let kept = addresses(&mut host, index).map_err(doing("read its addresses"))?;
        let others = indices(&mut inside).map_err(doing("list the container's devices"))?;
        relocate(&mut host, index, namespace.as_fd(), name).map_err(doing("move it into the container"))?;
        let index = arrived(&mut inside, &others).map_err(doing("find it in the container"))?;
        for address in kept {
            address.set(&mut inside, index).map_err(doing("set its addresses"))?;
        }
        inside.request(libc::RTM_SETLINK, 0, &Body::of_link(index, true)).map_err(doing("bring it up"))?;
    }
    Ok(())
}

fn open_namespace(proc: BorrowedFd<'_>, of: &str) -> Result<OwnedFd, Errno> {
    let name = CString::new(format!("{of}/ns/net")).map_err(|_| Errno::EINVAL)?;
    path::openat2(proc, &name, libc::O_RDONLY, 0, 0)
}

fn open_inside(proc: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> Result<Rtnetlink, Errno> {
    let kind = u64::from(libc::CLONE_NEWNET.cast_unsigned());
    let own = open_namespace(proc, "thread-self")?;
    process::setns(namespace, kind)?;
    let inside = Rtnetlink::open();
    // Whatever became of the socket: to go on in the container's namespace would be worse.
    process::setns(own.as_fd(), kind)?;
    inside
}

/// The number of the link called `name`.
fn index(netlink: &mut Rtnetlink, name: &str) -> Result<u32, Errno> {
    let question = Body::of_link(0, false).with(libc::IFLA_IFNAME, &terminated(name))?;
    let answers = netlink.request(libc::RTM_GETLINK, 0, &question)?;
    answers.iter().find_map(link_index).ok_or(Errno::ENODEV)
}

fn link_index(answer: &Answer) -> Option<u32> {
    (answer.kind == libc::RTM_NEWLINK).then(|| word(&answer.body, 4))?
}

fn indices(netlink: &mut Rtnetlink) -> Result<Vec<u32>, Errno> {
    let answers = netlink.dump(libc::RTM_GETLINK, &Body::of_link(0, false))?;
    Ok(answers.iter().filter_map(link_index).collect())
}

fn terminated(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}

/// Moves and renames at once, so that the kernel refuses a name that is taken there, and fills in a `%d`.
fn relocate(host: &mut Rtnetlink, index: u32, namespace: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let target = namespace.as_raw_fd().to_ne_bytes();
    let request =
        Body::of_link(index, false).with(libc::IFLA_NET_NS_FD, &target)?.with(libc::IFLA_IFNAME, &terminated(name))?;
    host.request(libc::RTM_SETLINK, 0, &request).map(drop)
}

/// The link that is there and was not: the kernel gives a new number where the old one is taken, and the name may be a
/// template.
fn arrived(inside: &mut Rtnetlink, others: &[u32]) -> Result<u32, Errno> {
    indices(inside)?.into_iter().find(|index| !others.contains(index)).ok_or(Errno::ENODEV)
}

/// An address that stays with its device: permanent, and of global scope.
#[derive(Debug, PartialEq)]
struct Address {
    family: u8,
    prefix: u8,
    /// (type, value): the local address, the peer's, the broadcast address.
    attributes: Vec<(u16, Vec<u8>)>,
}

fn addresses(netlink: &mut Rtnetlink, index: u32) -> Result<Vec<Address>, Errno> {
    let answers = netlink.dump(libc::RTM_GETADDR, &Body::of_address(0, 0, 0, index))?;
    let new = answers.iter().filter(|answer| answer.kind == libc::RTM_NEWADDR);
    Ok(new.filter_map(|answer| Address::read(&answer.body, index)).collect())
}

impl Address {
    /// None if it is another device's, or does not stay.
    fn read(body: &[u8], index: u32) -> Option<Self> {
        let [family, prefix, low_flags, scope] = *body.get(..4)? else { return None };
        let mut flags = u32::from(low_flags);
        let mut kept = Vec::new();
        for (kind, value) in attributes(body.get(ADDRESS..)?) {
            match kind {
                libc::IFA_FLAGS => flags = word(value, 0)?,
                libc::IFA_LOCAL | libc::IFA_ADDRESS | libc::IFA_BROADCAST => kept.push((kind, value.to_vec())),
                _ => {}
            }
        }
        let stays = flags & libc::IFA_F_PERMANENT != 0 && scope == libc::RT_SCOPE_UNIVERSE;
        (stays && word(body, 4)? == index).then_some(Address { family, prefix, attributes: kept })
    }

    fn set(&self, netlink: &mut Rtnetlink, index: u32) -> Result<(), Errno> {
        let mut body = Body::of_address(self.family, self.prefix, libc::RT_SCOPE_UNIVERSE, index);
        for (kind, value) in &self.attributes {
            body = body.with(*kind, value)?;
        }
        netlink.request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(scope: u8, index: u32, flags: u32) -> Vec<u8> {
        let mut body = vec![2, 24, 0, scope];
        body.extend(index.to_ne_bytes());
        for (kind, value) in [(libc::IFA_LOCAL, [10, 0, 0, 1]), (libc::IFA_FLAGS, flags.to_ne_bytes())] {
            body.extend(8u16.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
        }
        body
    }

    #[test]
    fn only_permanent_addresses_of_global_scope_stay() {
        let permanent = libc::IFA_F_PERMANENT;
        let stays = Address { family: 2, prefix: 24, attributes: vec![(libc::IFA_LOCAL, vec![10, 0, 0, 1])] };
        assert_eq!(Address::read(&message(0, 7, permanent), 7), Some(stays));
        assert_eq!(Address::read(&message(0, 7, permanent), 8), None);
        assert_eq!(Address::read(&message(0, 7, 0), 7), None);
        assert_eq!(Address::read(&message(libc::RT_SCOPE_LINK, 7, permanent), 7), None);
        assert_eq!(Address::read(&[2, 24], 7), None);
    }

    #[test]
    fn the_loopback_link_is_found() {
        let mut netlink = Rtnetlink::open().expect("rtnetlink");
        let lo = index(&mut netlink, "lo").expect("lo");
        assert!(indices(&mut netlink).expect("links").contains(&lo));
        assert_eq!(index(&mut netlink, "no-such-device"), Err(Errno::ENODEV));
        assert_eq!(addresses(&mut netlink, lo).expect("addresses"), [], "127.0.0.1 has the scope of the host");
    }
}
