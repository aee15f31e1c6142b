//! The network of a sandbox, decided: which it is, what of it is reached from outside, and what programs inside read of names.

mod published;

use super::facts::{Facts, Names};
use super::folders::{Entry, What};
use super::{Sandbox, paths};
use crate::network::{NAMES, bridge};
use crate::plan::network::{Bridge, Files, Link, Pasta, Resolver};
use crate::plan::{Note, Plan, Problems};
pub(super) use published::published;
use std::fmt::Write;
use std::net::IpAddr;
use zviz_network::policy::{Guarded, Ingress};
use zviz_network::rules::RESOLVER;

/// Which network the sandbox sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// A loopback device and nothing else.
    #[default]
    None,
    /// The host's: all of it, and the abstract Unix sockets of the host's programs with it.
    Host,
    /// One of its own, at a bridge of the host's; root's.
    Bridge,
    /// One of its own, by pasta(1).
    Pasta,
    /// Whichever of the two the caller can have.
    Private,
}

/// Each with its name.
const NETWORKS: &[(Network, &str)] = &[
    (Network::None, "none"),
    (Network::Host, "host"),
    (Network::Bridge, "bridge"),
    (Network::Pasta, "pasta"),
    (Network::Private, "private"),
];

impl Network {
    /// As `--net` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NETWORKS.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// The one of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Network> {
        NETWORKS.iter().find(|(_, known)| *known == name).map(|(network, _)| *network)
    }

    /// Whether it has a way out of its own.
    #[must_use]
    pub fn is_linked(self) -> bool {
        matches!(self, Network::Bridge | Network::Pasta | Network::Private)
    }
}

/// What there will be of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linked {
    pub(super) link: Link,
    hostname: String,
    names: Names,
}

/// Which of the two ways out it is, and the files that are laid over those of /etc.
pub(super) fn lower(
    sandbox: &Sandbox,
    facts: &Facts,
    notes: &mut Vec<Note>,
    problems: &mut Problems,
) -> Option<(Linked, Vec<Entry>)> {
    if !sandbox.network.is_linked() {
        let filtered = sandbox.profile.packets.as_ref().is_some_and(|packets| !packets.only.is_empty());
        if sandbox.network == Network::None && filtered && !sandbox.network_given {
            let what = "says who may be reached, and there is no network to reach them by: --net private";
            notes.push(Note(format!("profile {}: network {what}", sandbox.profile.name)));
        }
        for port in &sandbox.published {
            let why = match sandbox.network {
                Network::Host => "the network is the host's (--net host), and its ports are: leave -p out",
                _ => "the sandbox has no network to be reached by: --net private gives it one",
            };
            problems.add(format!("-p {port}"), why);
        }
        return None;
    }
    published::meet(&sandbox.published, problems);
    published::come_in(sandbox, problems);
    let published = sandbox.published.clone();
    let link = match sandbox.network {
        Network::Pasta => Link::Pasta(Pasta { published }),
        Network::Private if !facts.is_root => Link::Pasta(Pasta { published }),
        _ if facts.is_root => {
            published::leave_loopback(&published, problems);
            Link::Bridge(Bridge { published })
        }
        _ => {
            problems.add("--net bridge", "makes devices of the host, which only root may: --net pasta does without");
            return None;
        }
    };
    let mut entries = Vec::new();
    for name in NAMES {
        let inside = format!("/etc/{name}");
        let Some(folder) = &facts.state else { continue };
        if !facts.names.there.contains(name) && facts.root_has("etc") {
            notes
                .push(Note(format!("{inside} is not there, and so is not the sandbox's own: no place is made for it")));
            continue;
        }
        let what = What::Bind { source: format!("{folder}/{name}"), writable: false, own: false };
        entries.push(Entry { inside, origin: "the sandbox's own names".to_owned(), what });
    }
    let hostname = sandbox.hostname.clone().unwrap_or_else(|| "localhost".to_owned());
    Some((Linked { link, hostname, names: facts.names.clone() }, entries))
}

impl Linked {
    /// Adds to a plan, which has its link and policies by now, what is to be known of it.
    pub(super) fn finish(&self, plan: &mut Plan) {
        let Some(network) = &mut plan.network else { return };
        let (published, links) = match &self.link {
            Link::Bridge(bridge) => (&*bridge.published, bridge::networks()),
            Link::Pasta(pasta) => (&*pasta.published, self.names.links.clone()),
            Link::None => (&[][..], Vec::new()),
        };
        let servers: Vec<IpAddr> = self.names.usable().collect();
        // Those that only the host itself reaches are asked from outside.
        if servers.is_empty() {
            network.resolver.get_or_insert_with(Resolver::default);
            network.nameservers = false;
        }
        let resolves = network.resolver.is_some();
        let others = bridge::networks().into_iter();
        let others = others.map(|network| Guarded { network, what: "other sandboxes".into() });
        for policy in &mut network.policies {
            // One that guards nothing is there to count.
            if !policy.guarded.is_empty() {
                policy.guarded.extend(others.clone());
                // Nobody reaches in but by what is published, or by whom the profile names.
                if policy.ingress.is_none() {
                    policy.ingress = Some(Ingress::default());
                    policy.publish(published);
                }
            }
            policy.links.extend(links.iter().copied());
            policy.resolver |= resolves;
        }
        let servers = if resolves { vec![RESOLVER[0].ip()] } else { servers };
        network.files = Some(Files { hostname: self.hostname.clone(), resolver: self.names.text(&servers) });
    }
}

impl Names {
    /// What a resolv.conf(5) says. Servers that have a meaning on one device only are left out.
    pub(super) fn read(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once(char::is_whitespace) else { continue };
            match key {
                "nameserver" => self.servers.extend(value.trim().parse::<IpAddr>()),
                "search" | "domain" | "options" | "sortlist" => self.lines.push(line.to_owned()),
                _ => {}
            }
        }
    }

    /// The servers that are reached from another network namespace than the host's own.
    fn usable(&self) -> impl Iterator<Item = IpAddr> {
        let far = |server: &&IpAddr| {
            let server = server.to_canonical();
            let local = matches!(server, IpAddr::V6(six) if six.is_unicast_link_local());
            !(server.is_loopback() || server.is_unspecified() || local || self.own.contains(&server))
        };
        // More than three are not asked: MAXNS of resolv.conf(5).
        self.servers.iter().filter(far).take(3).copied()
    }

    fn text(&self, servers: &[IpAddr]) -> String {
        let mut text = String::new();
        for server in servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

impl Facts {
    fn root_has(&self, name: &str) -> bool {
        self.root.keys().any(|there| paths::within(&format!("/{there}"), &format!("/{name}")))
    }
}

#[cfg(test)]
mod tests;
