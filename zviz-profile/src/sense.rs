//! What is well written and cannot be meant: contradictions, and rules that can never matter.

mod network;
mod vital;

pub use network::filtered;
pub use vital::static_only;

use crate::calls::expand;
use crate::document::{AuditLevel, Backend, Document, LsmKind, Need, Patterns};
use crate::place::Faults;

pub(crate) fn faults(document: &Document) -> Faults {
    let mut check = Check { document, faults: Faults::default() };
    check.calls();
    check.faults.0.extend(vital::faults(document).0);
    check.files();
    check.faults.0.extend(network::faults(document).0);
    check.limits();
    check.rest();
    check.faults
}

/// tmpfs(5): sizes are rounded up to pages, of 4096 bytes at least on every architecture of ours.
const SMALLEST_TMPFS: u64 = 4096;

struct Check<'d> {
    document: &'d Document,
    faults: Faults,
}

impl Check<'_> {
    fn fault(&mut self, key: &str, what: impl Into<String>) {
        let place = self.document.place(key).or_else(|| self.document.start()).cloned();
        if let Some(place) = place {
            self.faults.add(&place, key, what);
        }
    }

    fn calls(&mut self) {
        let calls = self.document.syscalls.clone();
        let of = |names: &[String]| -> Vec<&'static str> { names.iter().flat_map(|name| expand(name)).collect() };
        let denied = of(&calls.deny);
        for (list, names) in [("allow", calls.allow.as_deref().unwrap_or_default()), ("broker", &calls.broker)] {
            for (i, name) in names.iter().enumerate() {
                let stands_for = expand(name);
                let dead = !stands_for.is_empty() && stands_for.iter().all(|call| denied.contains(call));
                if dead {
                    self.fault(
                        &format!("syscalls.{list}[{i}]"),
                        format!("{name} is denied by syscalls.deny: it can never be reached"),
                    );
                }
            }
        }
        for (list, names) in
            [("allow", calls.allow.as_deref().unwrap_or_default()), ("deny", &calls.deny), ("broker", &calls.broker)]
        {
            for (i, name) in names.iter().enumerate() {
                if names.iter().take(i).any(|other| other == name) {
                    self.fault(&format!("syscalls.{list}[{i}]"), format!("{name} is there already"));
                }
            }
        }
    }

    fn files(&mut self) {
        let files = self.document.filesystem.clone();
        let writable = files.writable.clone().unwrap_or_default();
        for (i, path) in writable.iter().enumerate() {
            if files.readonly.contains(path) {
                self.fault(
                    &format!("filesystem.writable[{i}]"),
                    format!("{path} is among filesystem.readonly as well"),
                );
            }
        }
        for (i, path) in files.tmpfs.iter().enumerate().filter(|(_, path)| files.readonly.contains(path)) {
            self.fault(&format!("filesystem.tmpfs[{i}]"), format!("{path} is among filesystem.readonly as well"));
        }
        self.patterns();
        let lists = [
            ("readonly", &files.readonly),
            ("writable", &writable),
            ("tmpfs", &files.tmpfs),
            ("hidden", &files.hidden),
        ];
        for (list, paths) in lists {
            for (i, path) in paths.iter().enumerate() {
                let hidden = list != "hidden" && files.hidden.iter().any(|above| within(path, above));
                if hidden {
                    self.fault(&format!("filesystem.{list}[{i}]"), format!("{path} is hidden by filesystem.hidden"));
                }
            }
        }
        for (i, path) in files.executable.iter().flatten().enumerate() {
            if files.hidden.iter().any(|above| within(path, above)) {
                self.fault(&format!("filesystem.executable[{i}]"), format!("{path} is hidden by filesystem.hidden"));
            }
        }
        for (list, paths) in [("hidden", &files.hidden), ("tmpfs", &files.tmpfs)] {
            for (i, _) in paths.iter().enumerate().filter(|(_, path)| *path == "/") {
                self.fault(
                    &format!("filesystem.{list}[{i}]"),
                    "the root itself cannot be replaced (base: none lists all)",
                );
            }
        }
        for kind in ["readonly", "writable", "tmpfs"] {
            let paths = match kind {
                "readonly" => &files.readonly,
                "writable" => &writable,
                _ => &files.tmpfs,
            };
            for (i, path) in paths.iter().enumerate() {
                if path.contains('*') {
                    self.fault(
                        &format!("filesystem.{kind}[{i}]"),
                        "is a pattern: filesystem.patterns and hidden take those",
                    );
                }
                if ["/proc", "/dev", "/sys"].iter().any(|own| within(path, own)) {
                    self.fault(
                        &format!("filesystem.{kind}[{i}]"),
                        format!("{path} is made by the runtime and cannot be shared"),
                    );
                }
            }
        }
    }

    /// What is allowed although another pattern says otherwise needs one that does.
    fn patterns(&mut self) {
        let Patterns { deny_read, deny_write, allow_read, allow_write, ask, audit } =
            self.document.filesystem.patterns.clone();
        let watched = !ask.is_empty() || !audit.is_empty() || self.document.audit.level == Some(AuditLevel::Full);
        for (word, allowed, denied) in [("read", allow_read, deny_read), ("write", allow_write, deny_write)] {
            if !allowed.is_empty() && denied.is_empty() && !watched {
                self.fault(
                    &format!("filesystem.patterns.allow_{word}"),
                    format!("no pattern says otherwise (deny_{word}, ask, audit): it can never matter"),
                );
            }
            for (i, pattern) in denied.iter().enumerate().filter(|(_, pattern)| allowed.contains(pattern)) {
                self.fault(
                    &format!("filesystem.patterns.deny_{word}[{i}]"),
                    format!("{pattern} is among filesystem.patterns.allow_{word}: it can never be reached"),
                );
            }
        }
    }

    fn limits(&mut self) {
        let limits = self.document.resources.clone();
        if let (Some(high), Some(max)) = (limits.memory_high, limits.memory_max)
            && high > max
        {
            self.fault("resources.memory_high", "is more than resources.memory_max: it can never be reached");
        }
        match (limits.memory_swap_max, limits.memory_max) {
            (Some(both), Some(max)) if both < max => {
                self.fault(
                    "resources.memory_swap_max",
                    "is memory and swap together, and less than resources.memory_max",
                );
            }
            (Some(_), None) => self.fault("resources.memory_swap_max", "needs resources.memory_max"),
            _ => {}
        }
        if limits.output_action.is_some() && limits.output_max.is_none() {
            self.fault("resources.output_action", "needs resources.output_max");
        }
        if let (Some(one), Some(all)) = (limits.cpu_time, limits.cpu_time_total)
            && one > all
        {
            self.fault("resources.cpu_time", "is more than resources.cpu_time_total: it can never be reached");
        }
        if limits.tmpfs_max.is_some_and(|bytes| bytes < SMALLEST_TMPFS) {
            self.fault("resources.tmpfs_max", "a folder in memory cannot hold less than a page, 4096 bytes");
        }
        for (i, io) in limits.io_max.iter().enumerate() {
            let key = format!("resources.io_max[{i}]");
            if io.device.is_none() {
                self.fault(&key, "names no device");
            } else if io.rbps.or(io.wbps).or(io.riops).or(io.wiops).is_none() {
                self.fault(&key, "limits nothing");
            }
        }
    }

    fn rest(&mut self) {
        let capabilities = self.document.capabilities.clone();
        for (i, name) in capabilities.ambient.iter().enumerate() {
            if !capabilities.keep.contains(name) {
                self.fault(&format!("capabilities.ambient[{i}]"), format!("{name} is not among capabilities.keep"));
            }
        }
        for (i, name) in capabilities.keep.iter().enumerate() {
            if capabilities.bounding.drop.contains(name) {
                self.fault(
                    &format!("capabilities.keep[{i}]"),
                    format!("{name} is dropped by capabilities.bounding.drop"),
                );
            }
        }
        let lsm = self.document.lsm.clone();
        if lsm.profile.is_some() && !matches!(lsm.kind, Some(LsmKind::Apparmor | LsmKind::Selinux)) {
            self.fault("lsm.profile", "needs lsm.type apparmor or selinux");
        }
        if lsm.kind == Some(LsmKind::None) && self.document.requirements.lsm == Some(Need::Required) {
            self.fault("lsm.type", "requirements.lsm asks for one");
        }
        let requirements = &self.document.requirements;
        if requirements.backend == Some(Backend::Landlock) && requirements.user_namespaces == Some(Need::Required) {
            self.fault("requirements.backend", "landlock does without the user namespace that is required");
        }
        let broker = &self.document.broker;
        let uname = broker.uname.release.is_some() || broker.uname.version.is_some();
        for (key, given, call) in [
            ("uname", uname, "uname"),
            ("mount_types", broker.mount_types.as_ref().is_some_and(|types| !types.is_empty()), "mount"),
        ] {
            let asked = self.document.syscalls.broker.iter().any(|name| expand(name).contains(&call));
            if given && !asked {
                self.fault(&format!("broker.{key}"), format!("needs {call} among syscalls.broker"));
            }
        }
    }
}

/// Whether a path is another, or below it. A pattern covers what it names literally only.
fn within(path: &str, above: &str) -> bool {
    path == above || above == "/" || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use crate::inherit::{Text, read};

    fn said(text: &str) -> String {
        let text = Text { file: "a.yaml".into(), text: text.into() };
        read(&text, &|name| Err(format!("there is no profile {name:?}")))
            .map_err(|faults| faults.to_string())
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn contradictions_are_told_where_they_are() {
        for (text, expected) in [
            (
                "syscalls:\n  allow: [\"@default\", ptrace]\n  deny: [ptrace]\n",
                "a.yaml:2: syscalls.allow[1]: ptrace is denied",
            ),
            ("syscalls: {allow: [read]}\n", "a.yaml:1: syscalls.allow: without execve no program can be started"),
            ("syscalls: {deny: [write]}\n", "a.yaml:1: syscalls.deny[0]: without write"),
            ("syscalls: {deny: [mount, mount]}\n", "a.yaml:1: syscalls.deny[1]: mount is there already"),
            ("filesystem:\n  readonly: [/a]\n  writable: [/b, /a]\n", "a.yaml:3: filesystem.writable[1]: /a is among"),
            (
                "filesystem:\n  writable: [/root/x]\n  hidden: [/root]\n",
                "a.yaml:2: filesystem.writable[0]: /root/x is hidden",
            ),
            ("filesystem: {hidden: [/]}\n", "a.yaml:1: filesystem.hidden[0]: the root itself"),
            ("filesystem: {tmpfs: [/]}\n", "a.yaml:1: filesystem.tmpfs[0]: the root itself"),
            ("filesystem: {writable: [/a/*]}\n", "a.yaml:1: filesystem.writable[0]: is a pattern"),
            ("filesystem: {tmpfs: [/dev/shm]}\n", "a.yaml:1: filesystem.tmpfs[0]: /dev/shm is made by the runtime"),
            (
                "network: {mode: none, allow_cidrs: [10.0.0.0/8]}\n",
                "a.yaml:1: network.allow_cidrs: nothing can be reached",
            ),
            ("network: {mode: allow-cidr}\n", "a.yaml:1: network.mode: allow-cidr needs"),
            ("network: {sockets: {allow: [tcp, raw]}}\n", "a.yaml:1: network.sockets.allow[1]: is not for the inside"),
            (
                "network: {ports: {allow_connect: [80], deny_connect: [1-100]}}\n",
                "network.ports.allow_connect[0]: is denied",
            ),
            ("resources: {memory_max: 1G, memory_high: 2G}\n", "a.yaml:1: resources.memory_high: is more"),
            ("resources: {io_max: [{device: \"8:0\"}]}\n", "a.yaml:1: resources.io_max[0]: limits nothing"),
            ("resources: {cpu_time: 2m, cpu_time_total: 1m}\n", "a.yaml:1: resources.cpu_time: is more"),
            ("filesystem: {readonly: [/a], tmpfs: [/a]}\n", "a.yaml:1: filesystem.tmpfs[0]: /a is among"),
            (
                "filesystem: {patterns: {allow_read: [\"/a/*\"], deny_write: [\"/a/*\"]}}\n",
                "a.yaml:1: filesystem.patterns.allow_read: no pattern says otherwise",
            ),
            (
                "filesystem: {patterns: {allow_write: [\"*.a\"], deny_write: [\"*.b\", \"*.a\"]}}\n",
                "a.yaml:1: filesystem.patterns.deny_write[1]: **/*.a is among",
            ),
            (
                "requirements: {backend: landlock, user_namespaces: required}\n",
                "a.yaml:1: requirements.backend: landlock does without",
            ),
            ("broker: {mount_types: [tmpfs]}\n", "a.yaml:1: broker.mount_types: needs mount"),
            ("name: a\nname: b\n", "a.yaml:2: name is there already"),
            ("capabilities: {ambient: [CAP_CHOWN]}\n", "a.yaml:1: capabilities.ambient[0]: CAP_CHOWN is not"),
            ("lsm: {profile: x}\n", "a.yaml:1: lsm.profile: needs"),
            ("broker: {uname: {release: x}}\n", "a.yaml:1: broker.uname: needs uname"),
        ] {
            let said = said(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn an_ordinary_profile_makes_sense() {
        let text = "name: ci\nversion: 0.1\nrequirements: {lsm: optional}\nfilesystem:\n  rootfs: readonly\n  writable: [/work]\n\
                    network:\n  mode: allow-cidr\n  allow_cidrs: [10.0.0.0/8]\n  allow_domains: []\nresources: {cpu_max: \"2\"}\n";
        assert_eq!(said(text), "");
    }
}
