//! What is told of names and of connections, and what for that is known.

use super::events::{self, Connection, Destination, Events, Line};
use super::known::Known;
use crate::error::{Error, Result};
use crate::report::Reports;
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;
use zviz_dns::Event;
use zviz_network::rules::report;

/// Keys of rules about what comes in begin so.
const INGRESS: &str = "network.ingress";

/// Who is told; none is nobody.
#[derive(Debug)]
pub(super) struct Told {
    events: Option<(Events, Reports)>,
    known: Known,
}

impl Told {
    /// Tells of these reports, where there are any.
    ///
    /// # Errors
    /// Nowhere to write them.
    pub(super) fn new(
        container: &str,
        reports: Option<Reports>,
        to: Option<Destination>,
        now: Instant,
    ) -> Result<Told> {
        let with = |reports| {
            let to = to.ok_or_else(|| Error::new("events, and nothing came with the request where they would go"))?;
            Ok((Events::new(to, container, now), reports))
        };
        Ok(Told { events: reports.map(with).transpose()?, known: Known::default() })
    }

    /// Where reports come.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(|(_, reports)| reports.as_fd())
    }

    /// Whether what is told goes to files that are rotated.
    pub(super) fn writes_files(&self) -> bool {
        self.events.as_ref().is_some_and(|(events, _)| events.writes_files())
    }

    /// When what waits is tried again.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.events.as_ref().and_then(|(events, _)| events.due(now))
    }

    /// Tries what waits.
    pub(super) fn flush(&mut self) {
        if let Some((events, _)) = &mut self.events {
            events.flush_files();
        }
    }

    /// As [`Told::flush`], with patience.
    pub(super) fn finish(&mut self) {
        if let Some((events, _)) = &mut self.events {
            events.finish();
        }
    }

    /// Something was decided about a name.
    pub(super) fn name(&mut self, now: Instant, event: &Event) {
        let Some((events, _)) = &mut self.events else { return };
        let name = event.name.to_string();
        let line = Line::Name {
            verdict: events::verdict(event.verdict),
            rule: &event.rule,
            name: &name,
            kind: event.kind,
            why: event.why.map(|why| why.to_string()),
        };
        events.write(now, &line);
        self.known.learn(&Arc::from(name), &event.addresses);
    }

    /// Rules have reported packets.
    pub(super) fn reports(&mut self, now: Instant) {
        let Some((events, reports)) = &mut self.events else { return };
        // An error is of the next time as well, and none that the container would have to end for.
        for reported in reports.read().unwrap_or_default() {
            let Some((accepted, rule)) = report::read(&reported.prefix) else { continue };
            let packet = reported.packet;
            let connection = Connection {
                verdict: if accepted { "allow" } else { "deny" },
                rule,
                protocol: &protocol(packet.protocol),
                from: rule.starts_with(INGRESS).then_some(packet.source),
                to: packet.destination,
                port: packet.ports.map(|(_, port)| port),
                name: self.known.name(packet.destination),
            };
            events.write(now, &Line::Connection(connection));
        }
        events.drop(reports.lost());
    }
}

/// The name of an IP protocol, or its number.
fn protocol(number: u8) -> String {
    let name = match i32::from(number) {
        libc::IPPROTO_TCP => "tcp",
        libc::IPPROTO_UDP => "udp",
        libc::IPPROTO_ICMP => "icmp",
        libc::IPPROTO_ICMPV6 => "icmpv6",
        _ => return number.to_string(),
    };
    name.to_owned()
}
