//! Nodes and links below /dev.

use super::input::{Findings, Input};
use super::mounts::{Mount, MountKind, place};
use super::namespaces::{Namespaces, User};
use super::rootfs::{Device, DeviceKind};
use oci_spec::runtime as oci;

/// (path, major, minor): config-linux.md, "Default Devices", less console and ptmx, which are no nodes.
const DEFAULT: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// (link, target): config-linux.md, "Dev symbolic links"; `core` is added where the kernel has /proc/kcore.
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// makedev(3) takes 12 bits of major and 20 of minor.
const MAJOR_MAX: i64 = (1 << 12) - 1;
const MINOR_MAX: i64 = (1 << 20) - 1;

/// Decides the nodes and the links. None where /dev is a bind mount: it is someone else's, and full already.
pub(super) fn plan(
    input: Input,
    namespaces: &Namespaces,
    mounts: &[Mount],
    found: &mut Findings,
) -> (Vec<Device>, Vec<(String, String)>) {
    let bound = mounts.iter().any(|m| m.destination == "/dev" && matches!(m.kind, MountKind::Bind(_)));
    let bind = namespaces.user != User::Host || input.host.user_namespace;
    let given = given(input, bind, found);
    if bound || input.spec.oci.root().is_none() {
        return (Vec::new(), Vec::new());
    }
    let own = |path: &str| given.iter().any(|device| device.path == path);
    let mut devices: Vec<Device> =
        DEFAULT.iter().filter(|(path, ..)| !own(path)).map(|entry| default_node(*entry, bind)).collect();
    devices.extend(given);
    let mut links: Vec<(String, String)> = LINKS.iter().map(|(link, to)| ((*link).into(), (*to).into())).collect();
    if input.host.kcore {
        links.push(("/dev/core".into(), "/proc/kcore".into()));
    }
    (devices, links)
}

fn default_node((path, major, minor): (&str, u32, u32), bind: bool) -> Device {
    Device { path: path.into(), kind: DeviceKind::Char, major, minor, mode: 0o666, uid: 0, gid: 0, bind }
}

fn given(input: Input, bind: bool, found: &mut Findings) -> Vec<Device> {
    let list = input.linux().and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let mut devices: Vec<Device> = Vec::with_capacity(list.len() + DEFAULT.len());
    for (i, given) in list.iter().enumerate() {
        let at = format!("linux.devices[{i}]");
        let Some(device) = device(given, bind, &at, found) else { continue };
        if matches!(device.path.as_str(), "/dev/console" | "/dev/ptmx") {
            // Both are made by us: the terminal of this container, not a node of the host's.
            found.note(format!("{at}.path"), format!("{} is made by the runtime, left out", device.path));
            continue;
        }
        match devices.iter().find(|earlier| earlier.path == device.path) {
            // Docker repeats a device that is both asked for and in its defaults.
            Some(earlier) if *earlier == device => {}
            Some(_) => found.problem(format!("{at}.path"), format!("a second, different {}", device.path)),
            None => devices.push(device),
        }
    }
    devices
}

fn device(given: &oci::LinuxDevice, bind: bool, at: &str, found: &mut Findings) -> Option<Device> {
    let path = given.path().to_str().unwrap_or_default();
    if !path.starts_with('/') {
        found.problem(format!("{at}.path"), "must be absolute");
        return None;
    }
    let kind = match given.typ() {
        oci::LinuxDeviceType::C | oci::LinuxDeviceType::U => DeviceKind::Char,
        oci::LinuxDeviceType::B => DeviceKind::Block,
        oci::LinuxDeviceType::P => DeviceKind::Fifo,
        oci::LinuxDeviceType::A => {
            found.problem(format!("{at}.type"), "must be one of c, b, u, p");
            return None;
        }
    };
    let fifo = kind == DeviceKind::Fifo;
    let mut number = |value: i64, max: i64, field: &str| match u32::try_from(value) {
        _ if fifo => 0,
        Ok(number) if value <= max => number,
        _ => {
            found.problem(format!("{at}.{field}"), format!("must be 0 to {max}, not {value}"));
            0
        }
    };
    let major = number(given.major(), MAJOR_MAX, "major");
    let minor = number(given.minor(), MINOR_MAX, "minor");
    // The file type that Go puts in the mode is in `type` already.
    let mode = given.file_mode().map_or(0o666, |mode| mode & 0o7777);
    // A bound node keeps the owner it has on the host.
    let owner = |id: Option<u32>| if bind { 0 } else { id.unwrap_or(0) };
    Some(Device {
        path: place::clean(path),
        kind,
        major,
        minor,
        mode,
        uid: owner(given.uid()),
        gid: owner(given.gid()),
        bind: bind && !fifo,
    })
}
