//! What init gets from outside: id maps, the OOM score, CPUs, links, translated mounts.

use super::{Error, call};
use crate::apply::{ids, links};
use crate::plan::mounts::IdmapSource;
use crate::plan::{MountKind, Plan};
use crate::prepare::Prepared;
use std::os::fd::AsFd;
use zviz_sys::sched::{self, CpuSet};

pub(super) fn furnish(plan: &Plan, prepared: &Prepared, pid: i32) -> Result<(), Error> {
    let proc = prepared.proc.as_fd();
    ids::write_maps(&plan.namespaces.user, proc, pid)?;
    if let Some(score) = plan.process.oom_score_adj {
        let written = ids::write_proc_of(proc, pid, "oom_score_adj", score.to_string().as_bytes());
        call(format!("set process.oomScoreAdj to {score}"), written)?;
    }
    if let Some(cpus) = &plan.process.initial_affinity {
        let set = CpuSet::new(cpus).and_then(|set| sched::set_affinity_of(pid, &set));
        call("set process.execCPUAffinity.initial", set)?;
    }
    links::move_all(&plan.namespaces.net, proc, pid)?;
    idmap(plan, prepared, pid)
}

fn idmap(plan: &Plan, prepared: &Prepared, pid: i32) -> Result<(), Error> {
    let mut container = None;
    for (mount, prepared_mount) in plan.mounts.iter().zip(&prepared.mounts) {
        let MountKind::Bind(bind) = &mount.kind else { continue };
        let Some(source) = &bind.idmap else { continue };
        let doing = || format!("{}: map ids of {}", mount.origin, bind.source);
        let untranslated =
            |errno| Error::Untranslated { origin: mount.origin.clone(), path: bind.source.clone(), errno };
        match source {
            IdmapSource::Container { .. } => {
                if container.is_none() {
                    container = Some(call(doing(), ids::user_namespace_of(prepared.proc.as_fd(), pid))?);
                }
                if let Some(userns) = &container {
                    prepared_mount.idmap(source, userns.as_fd()).map_err(untranslated)?;
                }
            }
            IdmapSource::Own { uids, gids, .. } => {
                let userns = ids::user_namespace_with(prepared.proc.as_fd(), uids, gids)?;
                prepared_mount.idmap(source, userns.as_fd()).map_err(untranslated)?;
            }
        }
    }
    Ok(())
}
