//! Switches of the host's namespace without which nothing passes the bridge. Each is written only where it is not as it must
//! be, and none is ever switched back: whoever else counts on one by then could not be known. sysctls of ip(7) and of the
//! kernel's Documentation/networking/ip-sysctl.rst. `/proc/sys/net` is of the network namespace that this process is in.

use super::bridge::Found;
use crate::error::{Doing, Result};
use std::fs;
use std::path::Path;
use zviz_network::wire::Bridge;

const FOUR: &str = "/proc/sys/net/ipv4/ip_forward";
const SIX: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
const DEVICES: &str = "/proc/sys/net/ipv6/conf";

/// Lets the host forward.
pub fn on(bridge: &Found, wanted: &Bridge) -> Result<()> {
    set(Path::new(FOUR), "1")?;
    if bridge.has_six && !is(Path::new(SIX), "1") {
        keep_routes()?;
        set(Path::new(SIX), "1")?;
    }
    if wanted.published.is_some() {
        // Programs of the host reach published ports at 127.0.0.1, too. The other way, from the bridge to such an address, is
        // closed by the rules of `host`, which are in force by now.
        set(Path::new(&format!("/proc/sys/net/ipv4/conf/{}/route_localnet", wanted.name)), "1")?;
    }
    Ok(())
}

/// A host that forwards does not listen to routers, so one that has its default route from a router would lose it: unless it is
/// told to listen all the same.
fn keep_routes() -> Result<()> {
    for device in fs::read_dir(DEVICES).doing(|| DEVICES)? {
        let path = device.doing(|| DEVICES)?.path().join("accept_ra");
        if is(&path, "1") {
            set(&path, "2")?;
        }
    }
    Ok(())
}

fn is(path: &Path, value: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found.trim() == value)
}

fn set(path: &Path, value: &str) -> Result<()> {
    if is(path, value) {
        Ok(())
    } else {
        fs::write(path, value).doing(|| format!("write {value} to {}", path.display()))
    }
}
