//! From a profile as its author wrote it to what is laid over a spec. Pure.

mod broker;
mod network;
mod packets;

use super::apparmor::Wanted;
use super::{Limits, Network, Profile, Requirements, files, limits};
use crate::plan::capabilities;
use crate::plan::{Backend, Note};
use std::collections::BTreeMap;
use zviz_profile::calls::{DEFAULT, expand};
use zviz_profile::{AuditLevel, Document, Fault, Faults, LsmKind, NetworkMode, SocketKind};
use zviz_seccomp::{Choice, Socket};

/// What a profile is lowered with.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// For `~`: the home folder inside.
    pub home: Option<String>,
}

impl Context {
    /// With the home folder that the environment of whoever calls names.
    #[must_use]
    pub fn of_caller() -> Context {
        Context { home: std::env::var("HOME").ok().filter(|home| home.starts_with('/')) }
    }
}

/// Lowers it.
///
/// # Errors
/// What it says that cannot be had, each with its line.
pub fn lower(document: &Document, context: &Context) -> Result<Profile, Faults> {
    let mut lowering = Lowering { document, context, faults: Vec::new(), notes: Vec::new() };
    let nested = document.nested == Some(true);
    let files = lowering.files();
    let calls = lowering.calls();
    let broker = lowering.broker();
    let packets = lowering.packets();
    let keep = lowering.mask("capabilities.keep", &document.capabilities.keep);
    let dropped = lowering.mask("capabilities.bounding.drop", &document.capabilities.bounding.drop);
    let all = if document.capabilities.drop_all == Some(false) { u64::MAX } else { keep };
    let ambient = lowering.mask("capabilities.ambient", &document.capabilities.ambient);
    let profile = Profile {
        name: document.name.clone().unwrap_or_else(|| "unnamed".to_owned()),
        capabilities: all & !dropped,
        ambient,
        no_new_privs: true,
        landlock: true,
        seccomp: true,
        nested,
        broker,
        calls,
        files,
        ports: super::Ports {
            bind: document.network.ports.allow_bind.clone(),
            connect: document.network.ports.allow_connect.clone(),
        },
        limits: lowering.limits(),
        network: document.network.mode.map(|mode| match mode {
            NetworkMode::None => Network::None,
            NetworkMode::Host | NetworkMode::AllowCidr => Network::Host,
            NetworkMode::Bridge => Network::Bridge,
            NetworkMode::Pasta => Network::Pasta,
            NetworkMode::Private => Network::Private,
        }),
        packets,
        requirements: lowering.requirements(),
        apparmor: apparmor(&document.lsm),
        selinux: document.lsm.profile.clone().filter(|_| document.lsm.kind == Some(LsmKind::Selinux)),
        landlock_records: matches!(document.audit.level, Some(AuditLevel::Denials | AuditLevel::Full)),
        texts: Vec::new(),
        notes: lowering.notes,
        program: None,
    };
    if lowering.faults.is_empty() { Ok(profile) } else { Err(Faults(lowering.faults)) }
}

struct Lowering<'d> {
    document: &'d Document,
    context: &'d Context,
    faults: Vec<Fault>,
    notes: Vec<Note>,
}

impl Lowering<'_> {
    fn fault(&mut self, key: &str, what: impl Into<String>) {
        let place = self.document.place(key).or_else(|| self.document.start()).cloned();
        if let Some(place) = place {
            self.faults.push(Fault { place, key: key.to_owned(), what: what.into(), help: None });
        }
    }

    fn note(&mut self, key: &str, what: &str) {
        let place = self.document.place(key).map(ToString::to_string).unwrap_or_default();
        self.notes.push(Note(format!("{place}: {key}: {what}")));
    }

    /// Paths with the home folder in place of `~`.
    fn paths(&mut self, key: &str, paths: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            match (path.strip_prefix('~'), &self.context.home) {
                (None, _) => found.push(path.clone()),
                (Some(rest), Some(home)) => found.push(format!("{}{rest}", home.trim_end_matches('/'))),
                (Some(_), None) => self.fault(&format!("{key}[{i}]"), "there is no home folder that ~ could stand for"),
            }
        }
        found
    }

    fn files(&mut self) -> files::Files {
        let given = &self.document.filesystem;
        let readonly = self.paths("filesystem.readonly", &given.readonly);
        let tmpfs = self.paths("filesystem.tmpfs", &given.tmpfs);
        let mut writable = given.writable.as_ref().map(|paths| self.paths("filesystem.writable", paths));
        if given.rootfs == Some(zviz_profile::Rootfs::Readonly) {
            writable.get_or_insert_default();
        }
        if let (Some(writable), Some(zviz_profile::Rootfs::Writable)) = (&mut writable, given.rootfs) {
            writable.push("/".to_owned());
        }
        let executable = given.executable.as_ref().map(|paths| self.paths("filesystem.executable", paths));
        let literal: Vec<String> = given.hidden.iter().filter(|path| !is_pattern(path)).cloned().collect();
        files::Files {
            listed_only: given.base == Some(zviz_profile::Base::None),
            readonly,
            writable,
            tmpfs,
            hidden: self.paths("filesystem.hidden", &literal),
            executable,
            workspace: given.workspace.map(|workspace| match workspace {
                zviz_profile::Workspace::Writable => files::Workspace::Writable,
                zviz_profile::Workspace::Readonly => files::Workspace::Readonly,
                zviz_profile::Workspace::None => files::Workspace::None,
            }),
        }
    }

    fn calls(&mut self) -> Choice {
        let calls = &self.document.syscalls;
        let names = |list: &[String]| {
            let mut names: Vec<String> = list.iter().flat_map(|name| expand(name)).map(str::to_owned).collect();
            names.sort();
            names.dedup();
            names
        };
        let listed = calls.allow.as_deref().unwrap_or_default();
        let commands = self.document.ioctl.allowlists.iter().flat_map(|list| &list.commands).copied();
        let choice = Choice {
            listed_only: calls.allow.is_some() && !listed.iter().any(|name| name == DEFAULT),
            allow: names(listed),
            deny: names(&calls.deny),
            sockets: self.sockets(),
            ioctls: (!self.document.ioctl.allowlists.is_empty()).then(|| commands.collect()),
            // Landlock judges connect(2) alone.
            connect_only: self.document.network.ports.allow_connect.is_some(),
            no_set_id: self.document.filesystem.set_id_bits == Some(false),
            // Landlock judges no program that is in no folder.
            files_only: self.document.filesystem.executable.as_ref().is_some_and(|paths| !paths.contains(&"/".into())),
        };
        let beyond: Vec<String> =
            choice.beyond_default().iter().map(|(name, about)| format!("{name} ({about})")).collect();
        if !beyond.is_empty() {
            let what = format!("allows what the default profile refuses: {}", beyond.join("; "));
            self.note("syscalls.allow", &what);
        }
        if let Some((key, what)) = zviz_profile::static_only(self.document) {
            self.note(&key, &what);
        }
        choice
    }

    fn sockets(&self) -> Option<Vec<Socket>> {
        let sockets = &self.document.network.sockets;
        const DEFAULT: &[SocketKind] = &[SocketKind::Tcp, SocketKind::Udp, SocketKind::Unix, SocketKind::Netlink];
        if sockets.allow.is_none() && !sockets.deny.iter().any(|kind| DEFAULT.contains(kind)) {
            return None;
        }
        let kinds = sockets.allow.as_deref().unwrap_or(DEFAULT).iter().filter(|kind| !sockets.deny.contains(kind));
        let kind = |kind: &SocketKind| match kind {
            SocketKind::Tcp => Some(Socket::Tcp),
            SocketKind::Udp => Some(Socket::Udp),
            SocketKind::Unix => Some(Socket::Unix),
            SocketKind::Netlink => Some(Socket::Netlink),
            SocketKind::Icmp => Some(Socket::Icmp),
            SocketKind::Raw | SocketKind::Packet | SocketKind::Vsock => None,
        };
        Some(kinds.filter_map(kind).collect())
    }

    fn mask(&mut self, key: &str, names: &[String]) -> u64 {
        let mut mask = 0;
        for (i, name) in names.iter().enumerate() {
            match capabilities::number(name) {
                Some(number) => mask |= 1 << number,
                None => self.fault(&format!("{key}[{i}]"), format!("there is no capability {name:?}")),
            }
        }
        mask
    }

    fn limits(&self) -> Limits {
        let given = &self.document.resources;
        let io = |io: &zviz_profile::Io| limits::Io {
            device: io.device.unwrap_or_default(),
            read_bytes: io.rbps,
            written_bytes: io.wbps,
            reads: io.riops,
            writes: io.wiops,
        };
        Limits {
            memory: given.memory_max,
            memory_and_swap: given.memory_swap_max,
            memory_high: given.memory_high,
            cpu: given.cpu_max,
            cpu_weight: given.cpu_weight,
            pids: given.pids_max,
            io: given.io_max.iter().map(io).collect(),
            open_files: given.open_files,
            file_size: given.file_size,
            tmpfs: given.tmpfs_max,
            // A process has whole seconds; it gets no less than was written.
            cpu_time: given.cpu_time.map(|milliseconds| milliseconds.div_ceil(1000)),
            cpu_total: given.cpu_time_total,
            tmpfs_inodes: given.tmpfs_inodes_max,
            ptys: given.ptys_max,
            output: given.output_max,
            output_truncated: given.output_action == Some(zviz_profile::OutputAction::Truncate),
            wall_time: given.wall_time,
            core_files: Some(given.core_dumps == Some(true)),
            optional: self.document.requirements.cgroup == Some(zviz_profile::Need::Optional),
            places: self.places(),
        }
    }

    /// Where each limit is written.
    fn places(&self) -> BTreeMap<String, String> {
        let written = self.document.written().into_iter();
        let own =
            written.filter_map(|(key, _, place)| Some((key.strip_prefix("resources.")?.to_owned(), place.to_string())));
        own.collect()
    }

    fn requirements(&mut self) -> Requirements {
        let given = &self.document.requirements;
        let required = |need: Option<zviz_profile::Need>| need == Some(zviz_profile::Need::Required);
        if let (Some(LsmKind::Selinux), None) = (self.document.lsm.kind, &self.document.lsm.profile) {
            self.fault("lsm.type", "selinux needs lsm.profile, a label");
        }
        Requirements {
            lsm: required(given.lsm),
            lsm_optional: given.lsm == Some(zviz_profile::Need::Optional),
            landlock: required(given.landlock) || self.document.lsm.kind == Some(LsmKind::Landlock),
            ports_optional: given.network_policy == Some(zviz_profile::Need::Optional),
            user_namespace: required(given.user_namespaces),
            notify: required(given.seccomp_notify),
            seccomp: false,
            backend: given.backend.map(|backend| match backend {
                zviz_profile::Backend::Namespaces => Backend::Namespaces,
                zviz_profile::Backend::Landlock => Backend::Landlock,
            }),
        }
    }
}

/// In the place of a name, where a profile that is extended has one.
const GENERATE: &str = "generate";

fn apparmor(lsm: &zviz_profile::Lsm) -> Option<Wanted> {
    (lsm.kind == Some(LsmKind::Apparmor)).then(|| match lsm.profile.as_deref() {
        None | Some(GENERATE) => Wanted::Generated,
        Some(name) => Wanted::Named(name.to_owned()),
    })
}

fn is_pattern(path: &str) -> bool {
    path.contains('*')
}
