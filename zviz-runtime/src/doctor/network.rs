//! E: network.

use super::{Chapter, Finding, Layer, Seen};

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Network, findings };
    match &seen.namespaces {
        Ok(()) => chapter.ok("own network", "a loopback device of its own: --net none"),
        Err(_) => chapter.fails("own network", "needs the namespaces above", ""),
    }
    match &seen.netfilter {
        Ok(()) => chapter.info("nf_tables", "the kernel's interface opens"),
        Err(why) => chapter.info("nf_tables", format!("the kernel's interface does not open: {why}")),
    }
    if !seen.forward_drops.is_empty() {
        let chains = seen.forward_drops.join(", ");
        let seen = format!("{chains} drops what is forwarded and not let through there: that of --net bridge, too");
        let allow = |way| format!("iptables -I DOCKER-USER {way} {} -j ACCEPT", crate::network::bridge::NAME);
        let fix = format!("beside Docker: {} && {}; else a rule of that firewall", allow("-i"), allow("-o"));
        chapter.lacks("bridge", seen, fix);
    }
    if seen.programs.contains(&"pasta") && !seen.devices.contains(&"/dev/net/tun") {
        chapter.lacks("pasta", "/dev/net/tun cannot be opened, which --net pasta needs", "chmod 0666 /dev/net/tun");
    }
    match &seen.helper {
        Ok(()) => chapter.ok("network helper", "zviz-net: rules for a network, --net bridge and private"),
        Err(why) => {
            chapter.info("network helper", format!("{why}: no rules for a network, nor --net bridge and private"))
        }
    }
    let tools: Vec<&str> = ["nft", "pasta"].into_iter().filter(|name| seen.programs.contains(name)).collect();
    let tools = if tools.is_empty() { "neither nft nor pasta".to_owned() } else { tools.join(", ") };
    chapter.info("network tools", format!("installed: {tools}; --net none and --net host need none"));
}
