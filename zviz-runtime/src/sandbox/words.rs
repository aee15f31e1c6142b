//! A sandbox in the words of a spec, and what a spec has no words for.

use super::facts::Facts;
use super::folders::{self, Entry, Kernel, What};
use super::ids::Ids;
use super::lower::Lowered;
use super::{Network, Sandbox, limits, masks};
use crate::host::Host;
use crate::plan::capabilities;
use crate::plan::cgroup::{Cgroup, Driver, Group};
use crate::plan::mounts::IdmapSource;
use crate::plan::{Attributes, IdMap, Mount, MountKind, Plan, Problems, Request};
use crate::profile::Profile;
use crate::spec::Spec;
use oci_spec::runtime as oci;

/// What [`lower`](super::lower()) has decided beside ids and entries.
pub(super) struct Decided {
    pub cwd: String,
    pub env: Vec<String>,
    pub masked: Vec<String>,
    pub resources: oci::LinuxResources,
}

/// The spec.
pub(super) fn spec(
    sandbox: &Sandbox,
    facts: &Facts,
    ids: &Ids,
    entries: &[Entry],
    decided: Decided,
    problems: &mut Problems,
) -> oci::Spec {
    let Decided { cwd, env, masked, resources } = decided;
    let mut spec = oci::Spec::default();
    spec.set_version("1.2.0".to_owned());
    let mut root = oci::Root::default();
    root.set_path("".into()).set_readonly(Some(true));
    spec.set_root(Some(root));
    spec.set_hostname(Some(sandbox.hostname.clone().unwrap_or_else(|| "localhost".to_owned())));
    spec.set_process(Some(process(sandbox, facts, ids, (cwd, env), problems)));
    spec.set_mounts(Some(entries.iter().filter_map(|entry| mount(entry, ids)).collect()));
    spec.set_linux(Some(linux(sandbox, ids, masked, resources)));
    spec
}

fn process(
    sandbox: &Sandbox,
    facts: &Facts,
    ids: &Ids,
    (cwd, env): (String, Vec<String>),
    problems: &mut Problems,
) -> oci::Process {
    let mut user = oci::User::default();
    user.set_uid(ids.uid).set_gid(ids.gid).set_umask(Some(0o022));
    // All of them are of the sandbox's own user namespace.
    let mut set = |mask: u64| {
        let words = capabilities::in_words(mask);
        words.map_err(|name| problems.add("capabilities", format!("there is no capability {name}"))).ok()
    };
    let granted = capabilities::listed(sandbox.profile.capabilities);
    let (given, ambient) = (set(granted), set(granted & sandbox.profile.ambient));
    let mut capabilities = oci::LinuxCapabilities::default();
    capabilities.set_bounding(given.clone()).set_effective(given.clone()).set_permitted(given);
    capabilities.set_inheritable(ambient.clone()).set_ambient(ambient);
    let mut process = oci::Process::default();
    process.set_terminal(Some(sandbox.terminal)).set_user(user).set_args(Some(sandbox.args.clone()));
    process.set_env(Some(env)).set_cwd(cwd.into()).set_capabilities(Some(capabilities));
    process.set_rlimits(Some(limits::rlimits(sandbox, facts))).set_no_new_privileges(Some(true));
    process
}

fn linux(sandbox: &Sandbox, ids: &Ids, masked: Vec<String>, resources: oci::LinuxResources) -> oci::Linux {
    use oci::LinuxNamespaceType as Type;
    let mut types = vec![Type::User, Type::Pid, Type::Mount, Type::Uts, Type::Ipc, Type::Cgroup];
    if sandbox.network != Network::Host {
        types.push(Type::Network);
    }
    let namespace = |typ| {
        let mut namespace = oci::LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace
    };
    let map = |map: IdMap| {
        let line = oci::LinuxIdMappingBuilder::default();
        line.container_id(map.inside).host_id(map.outside).size(map.count).build().ok().map(|line| vec![line])
    };
    let mut linux = oci::Linux::default();
    linux.set_namespaces(Some(types.into_iter().map(namespace).collect()));
    linux.set_uid_mappings(map(ids.uids)).set_gid_mappings(map(ids.gids)).set_resources(Some(resources));
    if sandbox.network.is_linked() {
        // As programs are used to from other containers: any port is listened at, and hosts are pinged, without a capability.
        let ports = ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        let ping = ("net.ipv4.ping_group_range".to_owned(), format!("{0} {0}", ids.gid));
        linux.set_sysctl(Some([ports, ping].into()));
    }
    linux.set_masked_paths(Some(masked)).set_rootfs_propagation(Some("rprivate".to_owned()));
    linux.set_readonly_paths(Some(masks::readonly(sandbox.profile.nested).map(str::to_owned).collect()));
    linux
}

/// The entry in a spec's words; links have none.
fn mount(entry: &Entry, ids: &Ids) -> Option<oci::Mount> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (typ, source, options) = match &entry.what {
        What::Bind { source, writable, .. } => {
            // Of the whole tree: what is mounted below is as read-only as the rest.
            let access: &[&str] = if *writable { &[] } else { &["rro"] };
            let options = [&["rbind", "rnosuid", "rnodev"], access].concat();
            ("bind", source.as_str(), words(&options))
        }
        What::Memory { mode, size, executable, owner } => {
            ("tmpfs", "tmpfs", folders::memory_options(*mode, *size, *executable, *owner))
        }
        What::Link { .. } => return None,
        What::Kernel(Kernel::Proc) => ("proc", "proc", words(&["nosuid", "nodev", "noexec"])),
        What::Kernel(Kernel::Dev) => ("tmpfs", "tmpfs", words(&["nosuid", "noexec", "mode=755", "size=64k"])),
        What::Kernel(Kernel::Devpts) => {
            let mut options = words(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=1024"]);
            // The group tty of every distribution, where it is mapped.
            if ids.gids.count > 5 {
                options.push("gid=5".to_owned());
            }
            ("devpts", "devpts", options)
        }
        What::Kernel(Kernel::Mqueue) => ("mqueue", "mqueue", words(&["nosuid", "nodev", "noexec"])),
        What::Kernel(Kernel::Sys) => ("sysfs", "sysfs", words(&["nosuid", "nodev", "noexec", "ro"])),
        What::Kernel(Kernel::Cgroup) => ("cgroup2", "cgroup", words(&["nosuid", "nodev", "noexec", "ro"])),
    };
    let mut mount = oci::Mount::default();
    mount.set_destination(entry.inside.clone().into()).set_typ(Some(typ.to_owned()));
    mount.set_source(Some(source.into())).set_options(Some(options));
    Some(mount)
}

impl Lowered {
    /// The plan, under a profile.
    ///
    /// # Errors
    /// What the planner finds wrong with the spec.
    pub fn plan(&self, profile: &Profile, host: &Host, id: &str) -> Result<Plan, Problems> {
        let spec = Spec {
            oci: self.spec.clone(),
            raw: serde_json::Value::Null,
            bundle: "/".into(),
            notes: Vec::new(),
            sha256: String::new(),
        };
        let (link, events, refusals) = (self.link.clone(), self.events, self.refusals);
        let request = Request { sandbox: true, in_place: self.in_place, link, events, refusals, ..Request::from(id) };
        let mut profile = super::profiled::granted(profile, &self.entries);
        if self.in_place.is_some() {
            profile = super::in_place::granted(profile, &self.entries);
        }
        let mut plan = Plan::build(&spec, &profile, host, request)?;
        self.finish(&mut plan);
        Ok(plan)
    }

    /// Adds what no spec can say: links in the root, shared folders whose owners are translated, a small reaper as
    /// process 1.
    fn finish(&self, plan: &mut Plan) {
        plan.process.reaper = true;
        // The shorter of the flag's and the profile's.
        let timeout = self.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        if std::mem::replace(&mut plan.profile.limits.wall_time, timeout) != timeout {
            plan.profile.limits.places.remove("wall_time");
        }
        plan.notes.extend(self.notes.iter().cloned());
        if self.in_place.is_some() {
            return;
        }
        let mut links = Vec::new();
        for entry in &self.entries {
            if let What::Link { target } = &entry.what {
                links.push(link(entry, target));
            } else if let Some(mount) = plan.mounts.iter_mut().find(|mount| mount.destination == entry.inside) {
                mount.origin.clone_from(&entry.origin);
                self.translate(entry, mount);
            }
        }
        if let Some(layers) = &self.stage {
            super::staged::overlay(&mut plan.mounts, layers, self.translated);
        }
        plan.mounts.splice(..0, links);
        self.network.iter().for_each(|linked| linked.finish(plan));
        lean(&mut plan.cgroup, plan.profile.limits.cpu_total.is_some());
    }

    /// The system's own folders stay as they are: their owners are nobody's inside, and what they keep from others
    /// they keep from the sandbox.
    fn translate(&self, entry: &Entry, mount: &mut Mount) {
        if let (What::Bind { writable, own: true, .. }, MountKind::Bind(bind)) = (&entry.what, &mut mount.kind)
            && self.translated
        {
            bind.idmap = Some(IdmapSource::Container { recursive: true, best_effort: !writable });
        }
    }
}

/// Only the hierarchies that enforce a limit, and that of devices with them: every other one costs a directory, made and
/// removed, and its end is the end of the pid namespace. Where nothing is limited there is no cgroup at all; nodes of
/// devices can then be made or opened as little, by the user namespace and `nodev` everywhere.
fn lean(cgroup: &mut Cgroup, timed: bool) {
    let limits = &cgroup.resources;
    let wanted = [
        ("memory", limits.memory != Default::default()),
        ("pids", limits.pids.is_some()),
        ("cpu", limits.cpu != Default::default()),
        ("cpuacct", timed),
        ("blkio", limits.block_io != Default::default()),
        ("io", limits.block_io != Default::default()),
    ];
    let counts = timed && cgroup.v1("cpuacct").is_none();
    let limiting = |group: &Group| {
        let has = |name: &str| group.controllers.iter().any(|controller| controller == name);
        wanted.iter().any(|(name, wanted)| *wanted && has(name))
    };
    cgroup.v2 = cgroup.v2.take().filter(|group| limiting(group) || counts);
    if cgroup.v2.is_none() && !cgroup.v1.iter().any(limiting) {
        cgroup.v1.clear();
        cgroup.devices = None;
        cgroup.driver = Driver::None;
    }
    cgroup.v1.retain(|group| limiting(group) || group.controllers.iter().any(|controller| controller == "devices"));
}

fn link(entry: &Entry, target: &str) -> Mount {
    Mount {
        destination: entry.inside.clone(),
        origin: entry.origin.clone(),
        kind: MountKind::Symlink { target: target.to_owned() },
        attributes: Attributes::default(),
        recursive: Attributes::default(),
        propagation: Vec::new(),
        late_readonly: false,
        no_symlinks: false,
    }
}
