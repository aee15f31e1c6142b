//! The way out of a sandbox's network namespace.

use super::facts::Facts;
use super::{Network, Sandbox};
use crate::plan::network::{Bridge, Link, Pasta};
use crate::plan::{Note, Problems};

/// The link that was asked for, as the caller can have it.
pub(super) fn link(sandbox: &Sandbox, facts: &Facts, notes: &mut Vec<Note>, problems: &mut Problems) -> Link {
    let is_root = facts.uid == 0;
    let filtered = sandbox.profile.packets.as_ref().is_some_and(|packets| !packets.only.is_empty());
    match sandbox.network {
        Network::None if filtered && !sandbox.network_given => {
            let what = "says who may be reached, and there is no network to reach them by: --net private";
            notes.push(Note(format!("profile {}: network {what}", sandbox.profile.name)));
            Link::None
        }
        Network::None | Network::Host => Link::None,
        Network::Bridge if !is_root => {
            problems.add("--net bridge", "makes devices of the host, which only root may: --net pasta does without");
            Link::None
        }
        Network::Bridge => Link::Bridge(Bridge::default()),
        Network::Private if is_root => Link::Bridge(Bridge::default()),
        Network::Pasta | Network::Private => Link::Pasta(Pasta::default()),
    }
}
