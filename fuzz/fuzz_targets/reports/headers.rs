//! What may be said of bytes, whatever they are. Also a part of `cargo test` (zviz-net/tests/fuzz_smoke.rs).

use zviz_net::report::{packet, parse};

/// Checks it, and tells how many packets were found.
pub fn check(data: &[u8]) -> usize {
    let reports = parse(data);
    // Each has a header, attributes, and two addresses.
    assert!(reports.len() <= data.len() / 44);
    // A byte that is no UTF-8 becomes three.
    assert!(reports.iter().all(|report| report.prefix.len() <= data.len() * 3));
    let bare = packet::read(data);
    for packet in reports.iter().map(|report| report.packet).chain(bare) {
        assert_eq!(packet.source.is_ipv4(), packet.destination.is_ipv4());
        assert!(packet.ports.is_none() || packet.icmp.is_none(), "{packet:?}");
    }
    reports.len() + usize::from(bare.is_some())
}
