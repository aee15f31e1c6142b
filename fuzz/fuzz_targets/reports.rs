//! Packets of a sandbox, as the kernel's log gives their beginning; and messages that are none.
#![no_main]

use zviz_net::report::{packet, parse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for report in parse(data) {
        assert!(report.prefix.len() <= data.len() * 3, "{report:?}");
    }
    if let Some(packet) = packet::read(data) {
        assert_eq!(packet.source.is_ipv4(), packet.destination.is_ipv4());
        assert!(packet.ports.is_none() || packet.icmp.is_none(), "{packet:?}");
    }
});
