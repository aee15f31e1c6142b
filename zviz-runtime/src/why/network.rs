//! The network that there is: a loopback device and nothing else, unless something says otherwise.

use super::change::{Change, Risk};
use super::scene::object;
use super::{Denial, Layer, Scene};
use crate::plan::Net;
use nix::errno::Errno;
use zviz_observe::{Call, SocketAddress};

/// Whether a network of its own can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    if !matches!(scene.plan.namespaces.net, Net::New { .. }) {
        return None;
    }
    let Some(SocketAddress::Inet(address)) = &call.address else { return None };
    let what = match errno {
        Errno::ENETUNREACH | Errno::EHOSTUNREACH if !address.ip().is_loopback() => {
            "the sandbox has no network but a loopback device of its own"
        }
        // Who listens on nothing is nobody's fault.
        Errno::ECONNREFUSED if address.ip().is_loopback() && scene.outside.host_listens(address) => {
            "somebody listens there on the host; the sandbox has a loopback device of its own"
        }
        Errno::EADDRNOTAVAIL if !address.ip().is_loopback() && !address.ip().is_unspecified() => {
            "the sandbox has no network device with this address"
        }
        _ => return None,
    };
    let mode = scene.rules.key("network.mode");
    let why = "all of the host's network, with everything that listens on it";
    // A profile that says none holds whatever flags say.
    let change = match mode.as_ref().is_some_and(|mode| mode.value == "none") {
        true => Change::yaml("network: {mode: host}", Risk::High, why),
        false => Change::flag("--net", "host", Risk::High, why),
    };
    let denial = Denial::new(Layer::Network, "none").what(what).rule(mode).changes([change]);
    Some(scene.told(denial, call, object(call)))
}
