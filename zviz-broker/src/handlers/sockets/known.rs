//! Names of sockets behind which somebody obeys: a service that starts programs, reads keys or types outside of the sandbox.
//! A rule has to name one exactly before it can be connected to.
//!
//! Names are no defence by themselves: a socket that is mounted, linked or bound elsewhere has another one. They stop what
//! happens by mistake, a folder shared with more in it than was thought of.

const ENGINE: &str = "who reaches a container engine is root on its machine";
const BUS: &str = "a message bus starts services and speaks for its user";
const DISPLAY: &str = "a display server shows and types for all of its clients";
const KEYS: &str = "an agent signs with keys that the sandbox must not have";
const SOUND: &str = "a sound server hears the microphone";
const SYSTEM: &str = "a service manager starts programs outside of the sandbox";
const TERMINAL: &str = "a terminal multiplexer types into shells outside of the sandbox";
const EDITOR: &str = "an editor runs commands outside of the sandbox";

/// Components from the end of a path; from its beginning where the pattern begins with a slash. A star is any part of a
/// component.
const PATHS: &[(&str, &str)] = &[
    ("docker*.sock", ENGINE),
    ("containerd*.sock", ENGINE),
    ("containerd*.sock.ttrpc", ENGINE),
    ("/run/containerd/s/*", ENGINE),
    ("podman*.sock", ENGINE),
    ("podman/*.sock", ENGINE),
    ("crio*.sock", ENGINE),
    ("cri-dockerd.sock", ENGINE),
    ("dockershim.sock", ENGINE),
    ("buildkitd*.sock", ENGINE),
    ("lxd/unix.socket", ENGINE),
    ("incus/unix.socket", ENGINE),
    ("libvirt-sock*", ENGINE),
    ("virtqemud-sock*", ENGINE),
    ("kubelet*.sock", ENGINE),
    ("system_bus_socket", BUS),
    ("/run/user/*/bus", BUS),
    ("dbus-*", BUS),
    (".X11-unix/*", DISPLAY),
    (".ICE-unix/*", DISPLAY),
    ("wayland-*", DISPLAY),
    ("pulse/native", SOUND),
    ("pipewire-*", SOUND),
    ("ssh-*/agent.*", KEYS),
    ("ssh-agent*", KEYS),
    ("openssh_agent", KEYS),
    (".ssh/agent/*", KEYS),
    ("gcr/ssh", KEYS),
    ("keyring*/*", KEYS),
    ("S.gpg-agent*", KEYS),
    ("S.scdaemon", KEYS),
    ("S.keyboxd", KEYS),
    ("pcscd.comm", KEYS),
    ("/run/systemd/private", SYSTEM),
    ("/run/user/*/systemd/private", SYSTEM),
    ("/run/systemd/io.systemd.*", SYSTEM),
    ("snapd*.socket", SYSTEM),
    ("tmux-*/*", TERMINAL),
    ("screen/S-*/*", TERMINAL),
    ("emacs*/server", EDITOR),
    ("vscode-*.sock", EDITOR),
];

/// Whole abstract names. They belong to a network namespace, so they are in reach where that is shared.
const ABSTRACT: &[(&str, &str)] = &[
    // CVE-2020-15257.
    ("/containerd-shim/*", ENGINE),
    ("/tmp/.X11-unix/X*", DISPLAY),
    ("/tmp/.ICE-unix/*", DISPLAY),
    ("/tmp/dbus-*", BUS),
    ("dbus-*", BUS),
    ("*/bus/systemd*", SYSTEM),
];

/// Why the socket with a canonical path is not for a sandbox.
#[must_use]
pub fn path(path: &[u8]) -> Option<(&'static str, &'static str)> {
    PATHS.iter().copied().find(|(pattern, _)| {
        let components = |text: &[u8]| text.split(|byte| *byte == b'/').count();
        let (wanted, here) = (components(pattern.as_bytes()), components(path));
        let mut theirs = path.split(|byte| *byte == b'/').skip(here.saturating_sub(wanted));
        (here == wanted || here > wanted && !pattern.starts_with('/'))
            && pattern
                .bytes()
                .collect::<Vec<u8>>()
                .split(|byte| *byte == b'/')
                .all(|name| theirs.next().is_some_and(|component| matches(name, component)))
    })
}

/// Why the socket with an abstract name is not for a sandbox.
#[must_use]
pub fn abstract_name(name: &[u8]) -> Option<(&'static str, &'static str)> {
    ABSTRACT.iter().copied().find(|(pattern, _)| matches(pattern.as_bytes(), name))
}

/// Whether a pattern, in which a star is any bytes, is all of a name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let (Some(first), last) = (parts.next(), parts.next_back()) else { return false };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = last else { return rest.is_empty() };
    for part in parts {
        let Some(at) = (0..=rest.len()).find(|at| rest.get(*at..).is_some_and(|rest| rest.starts_with(part))) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_wherever_their_folder_is_mounted() {
        for name in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "/host/docker.sock",
            "/run/podman/podman.sock",
            "/run/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/dbus/system_bus_socket",
            "/run/user/1000/bus",
            "/tmp/.X11-unix/X0",
            "/x/.X11-unix/X0",
            "/run/user/1000/wayland-0",
            "/tmp/ssh-XXXX/agent.12",
            "/run/user/1000/gnupg/S.gpg-agent.extra",
            "/run/systemd/private",
            "/tmp/tmux-1000/default",
        ] {
            assert!(path(name.as_bytes()).is_some(), "{name}");
        }
        for name in
            ["/run/app.sock", "/run/docker.sock/x", "/bus", "/run/user/bus", "/x/run/systemd/private", "/native"]
        {
            assert!(path(name.as_bytes()).is_none(), "{name}");
        }
        assert!(abstract_name(b"/containerd-shim/x.sock").is_some());
        assert!(abstract_name(b"/tmp/.X11-unix/X0").is_some());
        assert!(abstract_name(b"mine").is_none());
    }

    #[test]
    fn stars_are_any_bytes() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("ab*bc", "abc", false),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is, "{pattern} {name}");
        }
    }
}
