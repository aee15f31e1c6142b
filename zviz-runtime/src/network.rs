//! The network of a container, made and undone.
//!
//! ```text
//! plan::Network ──intend──► Made, saved ──up──► zviz-net: link, rules, resolver ──► init goes on
//!                             └──────────down──► zviz-net: what outlives the container's namespace
//! ```
//!
//! Rules are in force in the container's namespace before its init has done anything. What is in a namespace that dies with
//! the container dies with that; all else is remembered before it is made.

pub mod bridge;
pub mod events;
mod files;
pub mod helper;
pub mod host;
mod inside;
pub mod lease;
pub mod leftovers;
mod link;
mod made;
pub mod names;
mod owned;
mod pasta;
mod ports;
pub(crate) mod watch;

pub use events::Event;
pub use files::NAMES;
pub(crate) use link::{Link, reserve};
pub use made::{Joined, Made};
use zviz_broker::audit::Sink;
use zviz_broker::policy::Trail;
use zviz_network::policy::Log;
pub use zviz_network::wire::Counter;

use self::helper::Helper;
use crate::container::{Id, State};
use crate::plan::network;
use crate::plan::{Net, Plan};
use crate::spec::Spec;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use zviz_network::wire::{self, Descriptor, Reply, Request};
use zviz_sys::{fd, path, process};

/// Why there is no network as it was planned, or why it is still there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The helper.
    #[error("network")]
    Helper(#[from] helper::Error),
    /// A namespace of the container's.
    #[error("network: {what}: {}", errno.desc())]
    Namespace {
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// Rules that somebody inside could change.
    #[error(
        "network: the namespace belongs to a user namespace that was made in the container's own, so that whoever made it has \
         every right over its rules: join that user namespace as well, or give the container a new one"
    )]
    Owned,
    /// The record of the audit.
    #[error("{0}")]
    Audit(String),
    /// What this host is called by on its networks.
    #[error("network: read this host's addresses: {}", .0.desc())]
    Addresses(Errno),
    /// Who is asked for names.
    #[error("network: read /etc/resolv.conf")]
    Names(#[source] std::io::Error),
    /// Nobody is asked for names.
    #[error(
        "network: names are to be asked for, and /etc/resolv.conf names no server (network.dns.proxy.upstream does)"
    )]
    NoServers,
    /// An address at the bridge.
    #[error("network")]
    Lease(#[from] lease::Error),
    /// A port of the host.
    #[error(transparent)]
    Port(#[from] ports::Taken),
    /// The sandbox's network stack.
    #[error("network")]
    Pasta(#[from] pasta::Error),
    /// One of the sandbox's own files.
    #[error("network: write the sandbox's {name}")]
    File {
        /// Which.
        name: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A device outside of the sandbox.
    #[error("network: remove the device {name}: {}", errno.desc())]
    Device {
        /// Which.
        name: String,
        /// Why not.
        errno: Errno,
    },
    /// The helper answers something else than what was asked.
    #[error("network: the helper answers something else")]
    Unexpected,
    /// The container has no rules to count by, or does not run.
    #[error("container {0}: {1}")]
    Uncounted(Id, &'static str),
}

/// Whether the network namespace that a spec has a path of is the caller's own. A path that leads nowhere is told of when it is
/// to be joined.
#[must_use]
pub fn is_own(spec: &Spec) -> bool {
    use nix::sys::stat::stat;
    use oci_spec::runtime::LinuxNamespaceType::Network;
    let list = spec.oci.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let path = list.iter().find(|one| one.typ() == Network).and_then(|one| one.path().as_deref());
    let found =
        path.filter(|path| path.is_absolute()).and_then(|path| stat(path).ok()).zip(stat("/proc/self/ns/net").ok());
    found.is_some_and(|(theirs, ours)| (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino))
}

/// Whose network it is.
pub(crate) struct Owner<'a> {
    pub id: &'a Id,
    pub plan: &'a Plan,
    /// The host's.
    pub proc: BorrowedFd<'a>,
    /// Init, which waits.
    pub pid: i32,
    pub pidfd: BorrowedFd<'a>,
}

/// What of it this process holds.
#[derive(Debug, Default)]
pub struct Up {
    /// Connections as lines of JSON, where they are reported.
    pub events: Option<OwnedFd>,
    /// Its way out.
    pub(crate) link: Link,
}

/// What there will be to undo, if there will be anything. It is to be remembered before [`up`].
pub(crate) fn intend(owner: &Owner<'_>, store: &Path, link: &Link) -> Result<Option<Made>, Error> {
    let Some(network) = &owner.plan.network else { return Ok(None) };
    owned::check(owner)?;
    let joined = match &owner.plan.namespaces.net {
        Net::Join { path, .. } if !network.policies.is_empty() => {
            let namespace = network_namespace(owner.proc, owner.pid)?;
            Some(Joined::of(path, namespace.as_fd()).map_err(at("look at the joined namespace"))?)
        }
        _ => None,
    };
    let lease = link.leased();
    Ok(Some(Made { table: made::table(store, owner.id), joined, lease, tables: Vec::new(), links: Vec::new() }))
}

/// Makes it, by a helper that was found before anything is remembered: without one there is nothing to undo, and nobody to do it.
/// Comes back with where connections are reported, if they are.
pub(crate) fn up(
    owner: &Owner<'_>,
    made: &Made,
    link: &mut Link,
    helper: &Helper,
    rootless: bool,
) -> Result<Option<OwnedFd>, Error> {
    let Some(network) = &owner.plan.network else { return Ok(None) };
    let namespace = network_namespace(owner.proc, owner.pid)?;
    let needs_user = rootless || matches!(network.link, network::Link::Pasta(_));
    let user = needs_user.then(|| process::owner_of_namespace(namespace.as_fd())).transpose();
    let user = user.map_err(at("open the user namespace of the container's network"))?;
    let pipe = network.events.then(|| nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)).transpose();
    let (events, reports) = pipe.map_err(at("make a pipe"))?.unzip();
    let record = if reports.is_none() { trail(owner.plan)? } else { None };
    let most = if let Some(Sink::Files(files)) = &record { Some(files.max_bytes()) } else { None };
    let mut reports = reports.iter().map(AsFd::as_fd).chain(record.iter().flat_map(Sink::descriptors));
    let (reports, older) = (reports.next(), reports);
    let tended = network.resolver.is_some() || reports.is_some();
    let mut descriptors = vec![(Descriptor::Network, namespace.as_fd())];
    descriptors.extend(user.as_ref().filter(|_| rootless).map(|user| (Descriptor::User, user.as_fd())));
    if tended {
        descriptors.push((Descriptor::Process, owner.pidfd));
    }
    descriptors.extend(reports.map(|reports| (Descriptor::Events, reports)));
    descriptors.extend(older.map(|older| (Descriptor::Older, older)));
    let (kinds, fds): (Vec<Descriptor>, Vec<BorrowedFd<'_>>) = descriptors.into_iter().unzip();
    let inside = inside::of(owner.plan, network, &made.table)?;
    let request = wire::Up {
        container: owner.id.to_string(),
        descriptors: kinds,
        bridge: link.wire(&network.link)?,
        resolver: inside.resolver,
        inside: inside.rules,
        untracked: inside.untracked,
        joined: matches!(owner.plan.namespaces.net, Net::Join { .. }),
        events: reports.is_some(),
        record: most,
    };
    helper.ask(&Request::Up(Box::new(request)), &fds, tended)?;
    if let Some(user) = &user {
        link.start(owner.plan, owner.pid, [user.as_fd(), namespace.as_fd()], rootless)?;
    }
    Ok(events)
}

/// Where connections are recorded, if the profile logs them and there is an audit that they can go to: beside what brokers write.
///
/// # Errors
/// It cannot be opened.
pub fn trail(plan: &Plan) -> Result<Option<Sink>, Error> {
    let logs = plan.network.iter().flat_map(|network| &network.policies).any(|policy| policy.log != Log::default());
    let is_open = |trail: &&Trail| logs && !matches!(trail, Trail::Journal);
    let trail = plan.profile.broker.audit.as_ref().filter(is_open);
    trail.map(Trail::open).transpose().map_err(Error::Audit)
}

/// Takes away what of a container's network has not gone with its namespace. What is gone already is no error.
///
/// # Errors
/// What could not be taken away; it can be tried again.
pub fn down(made: &Made) -> Result<(), Error> {
    made.lease.map(link::down).transpose()?;
    let inside = made.joined.as_ref().and_then(Joined::open);
    if inside.is_none() && made.tables.is_empty() && made.links.is_empty() {
        return Ok(());
    }
    let user = inside.as_ref().and_then(|namespace| foreign_owner(namespace.as_fd()));
    let request = wire::Down {
        tables: made.tables.clone(),
        links: made.links.clone(),
        inside: inside.as_ref().map(|_| made.table.clone()),
    };
    let descriptors: Vec<BorrowedFd<'_>> = inside.iter().chain(&user).map(AsFd::as_fd).collect();
    helper::find()?.ask(&Request::Down(request), &descriptors, false)?;
    Ok(())
}

/// What the rules of a container that runs have let through or not, in their order.
///
/// # Errors
/// It does not run, has no rules, or cannot be looked into.
pub fn counters(state: &State, way_in: i32) -> Result<Vec<Counter>, Error> {
    let uncounted = |why| Error::Uncounted(state.id.clone(), why);
    let made = state.network.as_ref().ok_or_else(|| uncounted("it has no rules for its network"))?;
    let proc = path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC).map_err(at("open /proc"))?;
    let namespace = network_namespace(proc.as_fd(), way_in)?;
    // If init still lives, the namespace is its own and not that of whoever has its pid next.
    state.live_init().ok_or_else(|| uncounted("it does not run"))?;
    let user = foreign_owner(namespace.as_fd());
    let descriptors: Vec<BorrowedFd<'_>> = [&namespace].into_iter().chain(&user).map(AsFd::as_fd).collect();
    let request = Request::Counters { table: made.table.clone() };
    match helper::find()?.ask(&request, &descriptors, false)? {
        Reply::Counters(counters) => Ok(counters),
        _ => Err(uncounted("the helper answers something else")),
    }
}

/// The user namespace that a network namespace belongs to, where it is not the caller's own: an ordinary user has rights over
/// its networks only from inside.
fn foreign_owner(namespace: BorrowedFd<'_>) -> Option<OwnedFd> {
    let owner = process::owner_of_namespace(namespace).ok()?;
    let own = path::open(c"/proc/self/ns/user", libc::O_RDONLY | libc::O_CLOEXEC).ok()?;
    let (theirs, ours) = (fd::stat(&owner).ok()?, fd::stat(&own).ok()?);
    let is_root = nix::unistd::geteuid().is_root();
    (!is_root && (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino)).then_some(owner)
}

fn network_namespace(proc: BorrowedFd<'_>, pid: i32) -> Result<OwnedFd, Error> {
    let what = "open the container's network namespace";
    let name = CString::new(format!("{pid}/ns/net")).map_err(|_| at(what)(Errno::EINVAL))?;
    path::openat2(proc, &name, libc::O_RDONLY, 0, 0).map_err(at(what))
}

fn at(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Namespace { what, errno }
}
