//! `Plan::build`: one line a layer.

use super::input::{Findings, Input, Request};
use super::{
    Backend, Namespace, Plan, Problems, apparmor, brokered, devices, filter, group, in_place, landlock, mounts,
    namespaces, narrow, network, paths, payload, programs, required, sysctl, unsupported,
};
use crate::host::Host;
use crate::profile::Profile;
use crate::spec::Spec;

impl Plan {
    /// Decides everything and touches nothing: the same inputs give the same plan on any machine.
    ///
    /// `request` is the container's id, or a [`Request`] where flags are given.
    ///
    /// # Errors
    /// Every fault of the spec, each with its place.
    pub fn build(spec: &Spec, profile: &Profile, host: &Host, request: impl Into<Request>) -> Result<Plan, Problems> {
        let request = request.into();
        let input = Input { spec, profile, host, request: &request };
        let mut found = Findings { notes: spec.notes.clone(), ..Findings::default() };
        found.notes.extend(profile.notes.iter().cloned());
        if let Some(wanted) = request.in_place {
            return in_place::plan(input, wanted, found);
        }
        let narrowed = narrow::narrow(input, &mut found).map(|oci| Spec { oci, ..spec.clone() });
        let spec = narrowed.as_ref().unwrap_or(spec);
        let input = Input { spec, ..input };
        unsupported::check(input, &mut found);
        let namespaces = namespaces::plan(input, &mut found);
        let filtered = network::filtered(input, &namespaces);
        let profile = filtered.as_ref().unwrap_or(profile);
        let input = Input { profile, ..input };
        let rootfs = paths::rootfs(input, &mut found);
        if profile.broker.files.is_some() && namespaces.pid != Namespace::New {
            // A hand would be seen in the container's proc, and could be asked to open its own memory there.
            found.problem("linux.namespaces", "rules about files need a pid namespace of the container's own");
        }
        if profile.broker.files.is_some() && profile.nested {
            // Who is root of a namespace inside gives files other names, by chroot(2) and by mounts.
            found.problem(format!("profile {}", profile.name), "rules about files cannot hold for sandboxes inside");
        }
        let cgroup = group::plan(input, &namespaces, &mut found);
        let mounts = mounts::plan(input, &namespaces, &cgroup, &mut found);
        let (devices, symlinks) = devices::plan(input, &namespaces, &mounts, &mut found);
        let (masked_paths, readonly_paths) = paths::hidden(input, &namespaces, &mut found);
        let sysctl = sysctl::plan(input, &namespaces, &mut found);
        let mut process = payload::plan(input, &namespaces, &mut found);
        let apparmor = apparmor::plan(input, &namespaces, &mut found);
        if let Some(policy) = &apparmor {
            process.apparmor_profile = Some(policy.name.clone());
        }
        let seccomp = filter::plan(input, process.no_new_privs, &mut found);
        let landlock = landlock::plan(input, &namespaces.user, rootfs.as_ref(), &mounts, &mut found);
        let network = network::plan(input, &namespaces, &process, seccomp.as_ref(), &mut found);
        let hooks = programs::plan(input, &mut found);
        let plan = Plan {
            backend: Backend::Namespaces,
            namespaces,
            rootfs,
            mounts,
            devices,
            symlinks,
            masked_paths,
            readonly_paths,
            sysctl,
            cgroup,
            profile: brokered::complete(input, &mut found),
            process,
            apparmor,
            seccomp,
            landlock,
            network,
            hooks,
            annotations: spec.oci.annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            notes: found.notes,
        };
        required::check(input, &plan, &mut found.problems);
        found.problems.or(plan)
    }
}
