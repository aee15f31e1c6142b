//! A sandbox from what was asked for to what will be done.

use super::probe::probe_in_place;
use super::{Error, Lowered, Sandbox, Userns, enforceable, lower, probe, subids};
use crate::container::Id;
use crate::doctor::{self, Forbidden};
use crate::host::Host;
use crate::network::events::{Tell, Tells};
use crate::plan::{Backend, Note, Plan};
use crate::receipt::Asked;
use crate::store::Store;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Below the store, under a name that is no id.
const SUBIDS: &str = ".subids";

/// A sandbox that was decided on, and is not made yet.
#[derive(Debug)]
pub struct Decided {
    /// Everything that will be done.
    pub plan: Plan,
    pub(super) id: Id,
    pub(super) host: Host,
    pub(super) asked: Asked,
    pub(super) lowered: Lowered,
    // Held for the sandbox's life.
    _ids: Option<subids::Range>,
    /// Why it is without namespaces although nobody asked for that.
    forced: Option<Forbidden>,
    /// Without mounts: where its private folder will be.
    pub(super) temporary: Option<PathBuf>,
    /// Who is told what of its network.
    pub(super) tells: Tells,
}

impl Sandbox {
    /// Whether the sandbox has a range of ids that nobody else has: where the caller is root of the first user namespace,
    /// which may map any. Without one, the ids inside are those that may write the calling program's own file:
    /// `sealed::ensure` is for that.
    #[must_use]
    pub fn has_ids_of_its_own(&self, host: &Host) -> bool {
        may_map_any(host) && self.userns == Userns::Auto && self.backend != Some(Backend::Landlock)
    }

    /// Looks at the machine and decides what will be done.
    ///
    /// # Errors
    /// What was asked for makes no sense or cannot be had.
    pub fn decide(&self, store: &Store, host: Host) -> Result<Decided, Error> {
        let id = Id::new(self.id.clone().unwrap_or_else(made_up))?;
        let forced = self.forced();
        if forced.is_some() || self.backend == Some(Backend::Landlock) {
            return self.decide_in_place(id, host, forced);
        }
        let limits = enforceable::limits(&host, &host.cgroup);
        let ids =
            may_map_any(&host).then(|| subids::take(&store.path().join(SUBIDS))).transpose().map_err(Error::Ids)?;
        let sandbox = self.under_profile();
        let mut facts = probe(&sandbox, limits, ids.as_ref().map(subids::Range::base));
        facts.is_root = !host.rootless;
        facts.state = store.path().join(id.as_str()).into_os_string().into_string().ok();
        let lowered = lower(&sandbox, &facts)?;
        if sandbox.stage.is_some() {
            lowered.places_exist()?;
        }
        let plan = lowered.plan(&self.profile, &host, id.as_str())?;
        let asked = self.asked();
        Ok(Decided {
            plan,
            id,
            host,
            asked,
            lowered,
            _ids: ids,
            forced: None,
            temporary: None,
            tells: Tells::default(),
        })
    }

    /// What keeps namespaces from being made, where the profile agrees to do without and nobody has said otherwise.
    fn forced(&self) -> Option<Forbidden> {
        let agreed = self.backend.is_none() && self.profile.requirements.backend == Some(Backend::Landlock);
        if agreed { doctor::forbidden() } else { None }
    }

    fn decide_in_place(&self, id: Id, host: Host, forced: Option<Forbidden>) -> Result<Decided, Error> {
        let mut sandbox = self.under_profile();
        // Those of the profile are the planner's, with their own reasons.
        (sandbox.memory, sandbox.pids, sandbox.cpus) = (self.memory, self.pids, self.cpus);
        sandbox.tmpfs.clone_from(&self.tmpfs);
        sandbox.backend = Some(Backend::Landlock);
        let facts = probe_in_place(&sandbox).map_err(Error::Host)?;
        let temporary = facts.temporary.clone().map(PathBuf::from);
        let lowered = lower(&sandbox, &facts)?;
        let mut plan = lowered.plan(&self.profile, &host, id.as_str())?;
        plan.notes.extend(forced.iter().map(|why| Note(format!("backend landlock: {why}"))));
        let (asked, tells) = (self.asked(), Tells::default());
        Ok(Decided { plan, id, host, asked, lowered, _ids: None, forced, temporary, tells })
    }
}

impl Decided {
    /// Why it is without namespaces, where nobody has asked for that but the profile agreed to it.
    #[must_use]
    pub fn forced(&self) -> Option<&Forbidden> {
        self.forced.as_ref()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Has somebody told of its connections, where it was asked for with their log.
    pub fn tell_connections(&mut self, tell: Tell) {
        self.tells.connections = Some(tell);
    }

    /// Has somebody told when the network goes before the sandbox does.
    pub fn tell_of_network(&mut self, tell: Tell) {
        self.tells.end = Some(tell);
    }

    /// When everything inside is killed.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.lowered.timeout
    }
}

fn may_map_any(host: &Host) -> bool {
    !host.rootless && !host.user_namespace
}

/// Unique in a store: of the processes with one number, only one lives at a time.
fn made_up() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("run-{}-{:x}", std::process::id(), now.as_nanos())
}
