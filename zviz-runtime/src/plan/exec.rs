//! `Plan::build_exec`: one more process in a container that runs.
//!
//! It rests on the container's own plan, kept by the runtime, and on nothing inside the container (CVE-2022-31214):
//! every layer that the container has, the process has.

use super::capabilities;
use super::filter;
use super::input::Findings;
use super::namespaces::{Names, Namespace, Namespaces, Net, Time, User, Uts};
use super::narrow;
use super::network;
use super::payload;
use super::process::Process;
use super::{Backend, Hooks, Plan, Problems};
use crate::host::Host;
use oci_spec::runtime as oci;
use std::collections::BTreeMap;

/// What to run beside the payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Exec {
    /// A whole process, as `exec --process FILE` gives it. What it leaves out of capabilities, limits, labels and
    /// scheduling is the container's.
    Process(Box<oci::Process>),
    /// The container's own process with changes.
    Changes(Changes),
}

/// Flags of `exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`, added to the container's.
    pub env: Vec<String>,
    /// Instead of the container's.
    pub cwd: Option<String>,
    /// On a pseudo-terminal.
    pub terminal: bool,
    /// uid, and gid where given, instead of the container's.
    pub user: Option<(u32, Option<u32>)>,
    /// Added to the container's.
    pub additional_gids: Vec<u32>,
    /// Names of capabilities, added to the container's bounding, effective and permitted sets.
    pub capabilities: Vec<String>,
    /// Instead of the container's.
    pub no_new_privs: Option<bool>,
    /// Instead of the container's.
    pub apparmor_profile: Option<String>,
    /// Instead of the container's.
    pub selinux_label: Option<String>,
}

impl Plan {
    /// Decides one more process of the container whose init has the pid `init`.
    ///
    /// # Errors
    /// Every fault of what is asked, each with its place.
    pub fn build_exec(container: &Plan, exec: &Exec, host: &Host, init: i32) -> Result<Plan, Problems> {
        let mut found = Findings::default();
        let process = match exec {
            Exec::Process(given) => whole(container, given, host, &mut found),
            Exec::Changes(changes) => changed(container, changes, host, &mut found),
        };
        if let Some(seccomp) = &container.seccomp {
            filter::lets_init_finish(&seccomp.policy, process.no_new_privs, &mut found);
        }
        if let Some(rules) = &container.network {
            let (capabilities, seccomp) = (process.capabilities, container.seccomp.as_ref());
            network::check_rights("exec", capabilities, &container.namespaces, seccomp, &mut found);
            network::check_added(capabilities, rules, &mut found);
        }
        if container.backend == Backend::Landlock {
            // Nor would it end with the sandbox: it is no descendant of the first process.
            found.problem("exec", "the sandbox has no namespaces that could be joined (--backend landlock)");
        }
        let plan = Plan {
            backend: container.backend,
            namespaces: join(&container.namespaces, init),
            rootfs: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            symlinks: Vec::new(),
            masked_paths: Vec::new(),
            readonly_paths: Vec::new(),
            sysctl: BTreeMap::new(),
            cgroup: container.cgroup.clone(),
            profile: container.profile.clone(),
            process,
            apparmor: container.apparmor.clone(),
            seccomp: container.seccomp.clone(),
            landlock: container.landlock.clone(),
            // The namespace that it joins has all of it.
            network: None,
            hooks: Hooks::default(),
            annotations: BTreeMap::new(),
            notes: found.notes,
        };
        found.problems.or(plan)
    }
}

/// Everything that the container has of its own is joined through its init; what it shares with the host stays so.
fn join(container: &Namespaces, init: i32) -> Namespaces {
    let path = |name: &str| format!("/proc/{init}/ns/{name}");
    let plain = |ns: &Namespace, name: &str| match ns {
        Namespace::Host => Namespace::Host,
        Namespace::Join(_) | Namespace::New => Namespace::Join(path(name)),
    };
    Namespaces {
        user: if container.user == User::Host { User::Host } else { User::Join(path("user")) },
        pid: plain(&container.pid, "pid"),
        mount: plain(&container.mount, "mnt"),
        uts: if container.uts == Uts::Host {
            Uts::Host
        } else {
            Uts::Join { path: path("uts"), names: Names::default() }
        },
        ipc: plain(&container.ipc, "ipc"),
        net: if container.net == Net::Host { Net::Host } else { Net::Join { path: path("net"), devices: Vec::new() } },
        cgroup: plain(&container.cgroup, "cgroup"),
        time: if container.time == Time::Host { Time::Host } else { Time::Join(path("time")) },
    }
}

fn whole(container: &Plan, given: &oci::Process, host: &Host, found: &mut Findings) -> Process {
    let own = &container.process;
    let mut narrowed = given.clone();
    narrow::process(&mut narrowed, &container.profile, host, found);
    if let Some(policy) = &container.apparmor {
        narrowed.set_apparmor_profile(Some(policy.name.clone()));
    }
    let process = payload::process(host, &container.profile, &container.namespaces.user, &narrowed, found);
    Process {
        capabilities: if given.capabilities().is_some() { process.capabilities } else { own.capabilities },
        rlimits: if given.rlimits().is_some() { process.rlimits } else { own.rlimits.clone() },
        umask: process.umask.or(own.umask),
        oom_score_adj: process.oom_score_adj.or(own.oom_score_adj),
        scheduler: process.scheduler.or(own.scheduler),
        io_priority: process.io_priority.or(own.io_priority),
        initial_affinity: process.initial_affinity.or_else(|| own.initial_affinity.clone()),
        final_affinity: process.final_affinity.or_else(|| own.final_affinity.clone()),
        personality: own.personality,
        memory_policy: own.memory_policy.clone(),
        apparmor_profile: process.apparmor_profile.or_else(|| own.apparmor_profile.clone()),
        selinux_label: process.selinux_label.or_else(|| own.selinux_label.clone()),
        new_keyring: own.new_keyring,
        ..process
    }
}

fn changed(container: &Plan, changes: &Changes, host: &Host, found: &mut Findings) -> Process {
    let mut process = Process { args: changes.args.clone(), terminal: changes.terminal, ..container.process.clone() };
    process.console_size = None;
    process.reaper = false;
    if process.args.first().is_none_or(String::is_empty) {
        found.problem("exec", "must name a program");
    }
    process.env = payload::env(process.env.iter().chain(&changes.env), found);
    process.find_home = payload::lacks_home(&mut process.env);
    if let Some(cwd) = &changes.cwd {
        if !cwd.starts_with('/') {
            found.problem("--cwd", "must be absolute");
        }
        process.cwd = cwd.clone();
    }
    user(container, changes, &mut process, found);
    add_capabilities(container, changes, host, &mut process, found);
    process.no_new_privs = changes.no_new_privs.unwrap_or(process.no_new_privs);
    if container.profile.no_new_privs && !process.no_new_privs {
        found.problem("--no-new-privs", format!("the profile {} has it always", container.profile.name));
    }
    if let Some(profile) = &changes.apparmor_profile {
        if !host.apparmor {
            found.problem("--apparmor", "this kernel has no AppArmor");
        }
        if container.profile.apparmor.is_some() && process.apparmor_profile.as_ref() != Some(profile) {
            found.problem("--apparmor", format!("the profile {} has another", container.profile.name));
        }
        process.apparmor_profile = Some(profile.clone());
    }
    if let Some(label) = &changes.selinux_label {
        if !host.selinux {
            found.problem("--process-label", "this kernel has no SELinux");
        }
        if container.profile.selinux.as_ref().is_some_and(|own| own != label) {
            found.problem("--process-label", format!("the profile {} has another", container.profile.name));
        }
        process.selinux_label = Some(label.clone());
    }
    for text in process.args.iter().chain(&process.env).chain([&process.cwd]) {
        if text.contains('\0') {
            found.problem("exec", format!("{text:?} contains a NUL byte"));
        }
    }
    process
}

fn user(container: &Plan, changes: &Changes, process: &mut Process, found: &mut Findings) {
    let mut user = oci::User::default();
    let own = &process.credentials;
    let (uid, gid) = changes.user.unwrap_or((own.uid, Some(own.gid)));
    let groups = own.groups.iter().flatten().chain(&changes.additional_gids).copied().collect();
    user.set_uid(uid).set_gid(gid.unwrap_or(own.gid)).set_additional_gids(Some(groups));
    process.credentials = payload::credentials(&user, &container.namespaces.user, found);
    if own_groups_denied(container) && changes.additional_gids.is_empty() {
        process.credentials.groups = None;
    }
}

fn own_groups_denied(container: &Plan) -> bool {
    container.process.credentials.groups.is_none()
}

/// As runc: an added capability is ambient too where the container has inheritable ones, since without those it cannot be.
fn add_capabilities(container: &Plan, changes: &Changes, host: &Host, process: &mut Process, found: &mut Findings) {
    let mut added = 0_u64;
    for name in &changes.capabilities {
        match capabilities::number(name).filter(|number| *number <= host.last_capability) {
            Some(number) => added |= 1 << number,
            None => found.problem("--cap", format!("unknown capability {name:?}")),
        }
    }
    let lacking = added & !capabilities::grantable(host, &container.namespaces.user);
    if lacking != 0 {
        found.problem("--cap", format!("{} not ours to give", capabilities::names(lacking).join(", ")));
    }
    let beyond = added & !container.profile.capabilities;
    if beyond != 0 {
        let names = capabilities::names(beyond).join(", ");
        found.problem("--cap", format!("{names}: the profile {} does not grant it", container.profile.name));
    }
    let sets = &mut process.capabilities;
    sets.bounding |= added;
    sets.effective |= added;
    sets.permitted |= added;
    sets.ambient |= added & sets.inheritable;
}
