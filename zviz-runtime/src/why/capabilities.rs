//! Capabilities: which call needs which, and whether a sandbox can have it at all.

use super::change::{Change, Risk};
use super::scene::{name, object};
use super::{Denial, Layer, Scene};
use crate::plan::{Net, User, capabilities};
use nix::errno::Errno;
use zviz_observe::{Call, SocketAddress};

/// A right that a call needs.
pub(super) struct Needed {
    /// With `CAP_`.
    pub name: &'static str,
    /// Whether it counts only over the whole machine: a user namespace has none of it to give.
    pub of_host: bool,
    errno: Errno,
}

/// Calls that need one whatever they are about. capabilities(7).
#[rustfmt::skip]
const ALWAYS: &[(&str, &[&str], bool)] = &[
    ("CAP_SYS_ADMIN", &["fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
        "pivot_root", "setdomainname", "sethostname", "setns", "umount2"], false),
    ("CAP_SYS_CHROOT", &["chroot"], false),
    ("CAP_SYS_BOOT", &["kexec_file_load", "kexec_load", "reboot"], true),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"], true),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"], true),
    ("CAP_SYS_TIME", &["clock_adjtime", "clock_settime", "settimeofday"], true),
    ("CAP_SYS_ADMIN", &["quotactl", "quotactl_fd", "swapoff", "swapon", "fanotify_init"], true),
    ("CAP_SYS_PACCT", &["acct"], true),
    ("CAP_SYSLOG", &["syslog"], true),
    ("CAP_BPF", &["bpf"], true),
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"], true),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"], true),
];

/// Calls that need one to do it to others, or to be somebody else: within the user namespace.
#[rustfmt::skip]
const OTHERS: &[(&str, &[&str])] = &[
    ("CAP_CHOWN", &["chown", "fchown", "fchownat", "lchown"]),
    ("CAP_SETUID", &["setresuid", "setreuid", "setuid"]),
    ("CAP_SETGID", &["setgid", "setgroups", "setregid", "setresgid"]),
];

/// Ports below are the first user's of a network namespace: `net.ipv4.ip_unprivileged_port_start`, ip-sysctl.
const FIRST_FREE_PORT: u16 = 1024;

/// The right without which a call can only fail.
pub(super) fn needed(call_name: &str) -> Option<Needed> {
    let (name, _, of_host) = ALWAYS.iter().find(|(_, calls, _)| calls.contains(&call_name))?;
    Some(Needed { name, of_host: *of_host, errno: Errno::EPERM })
}

/// What a profile says to have it: nothing if it is there.
///
/// # Errors
/// Why no profile can, in words.
pub(super) fn beside(scene: &Scene<'_>, needed: &Needed) -> Result<Option<String>, &'static str> {
    if needed.of_host {
        return Err("a right over the whole machine, which no profile gives");
    }
    let Some(number) = capabilities::number(needed.name) else { return Ok(None) };
    let process = &scene.plan.process;
    if process.capabilities.effective & (1 << number) != 0 {
        return Ok(None);
    }
    let short = needed.name.trim_start_matches("CAP_");
    // execve(2) leaves an ordinary user what is ambient.
    let ambient = if process.credentials.uid == 0 { String::new() } else { format!(", ambient: [{short}]") };
    Ok(Some(format!("capabilities: {{keep: [{short}]{ambient}}}")))
}

/// Whether a right that is missing can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    let call_name = name(call);
    let needed = needed(&call_name).or_else(|| beyond_oneself(scene, &call_name, call));
    let needed = needed.filter(|needed| needed.errno == errno)?;
    let denial =
        |what: String| scene.told(Denial::new(Layer::Capabilities, needed.name).what(what), call, object(call));
    match beside(scene, &needed) {
        Ok(None) => None,
        Ok(Some(yaml)) => {
            let what = format!("{call_name} needs {}, which the sandbox has not", needed.name);
            let why = format!("gives {} over what belongs to the sandbox, and nothing of the host", needed.name);
            Some(denial(what).rule(scene.rules.key("capabilities.drop_all")).changes([Change::yaml(
                yaml,
                Risk::Medium,
                why,
            )]))
        }
        Err(why) => Some(denial(format!("{call_name} needs {}, {why}", needed.name))),
    }
}

/// A right to do it to what belongs to others, or to everybody.
fn beyond_oneself(scene: &Scene<'_>, call_name: &str, call: &Call) -> Option<Needed> {
    if let ("bind", Some(SocketAddress::Inet(address))) = (call_name, &call.address) {
        let of_host = matches!(scene.plan.namespaces.net, Net::Host);
        let low = (1..FIRST_FREE_PORT).contains(&address.port());
        return low.then_some(Needed { name: "CAP_NET_BIND_SERVICE", of_host, errno: Errno::EACCES });
    }
    let User::New { uids, setgroups, .. } = &scene.plan.namespaces.user else { return None };
    // With one id there is nobody else.
    let others = uids.iter().map(|map| u64::from(map.count)).sum::<u64>() > 1;
    let (name, _) = OTHERS.iter().find(|(_, calls)| calls.contains(&call_name))?;
    let possible = others && (*name != "CAP_SETGID" || *setgroups);
    possible.then_some(Needed { name, of_host: false, errno: Errno::EPERM })
}
