//! A run whose denials are told: from each call that the observer saw to a line for whoever waits, and a record for `zviz why`.
//!
//! ```text
//! observer's thread: Call ──► why ──► Tally ──► Telling (stderr, a file)        each denial when it comes first
//! kernel's records:  Recorded ──► why::recorded ──► Tally               when it has ended, what nobody saw
//! at the end:        Ending ──► why::ended ──► Tally ──► Telling, Record
//! ```

pub mod left;
pub mod machine;
pub mod record;
pub mod tally;
pub mod telling;

pub use machine::Machine;
pub use record::Record;
pub use tally::Tally;
pub use telling::{Form, Telling};

use crate::network::Event;
use crate::plan::{Note, Plan};
use crate::profile::find::Search;
use crate::profile::{artefacts, built_in};
use crate::records::{self, Access, Kept};
use crate::why::{self, Denial, Ending, Filter, Layer, Rules, Scene};
use std::collections::BTreeSet;
use std::path::Path;
use zviz_observe::{Call, Report};

/// What a run is explained with.
pub struct Explainer {
    plan: Plan,
    filter: Filter,
    rules: Rules,
    machine: Machine,
    tally: Tally,
    telling: Telling,
    // Processes that were seen.
    met: BTreeSet<i32>,
}

/// Processes that are remembered. What records tell of others is not told.
const MOST_MET: usize = 1 << 16;

impl Explainer {
    /// Notes in the plan that the run is traced.
    #[must_use]
    pub fn new(plan: &mut Plan, rules: Rules, telling: Telling) -> Explainer {
        plan.notes
            .push(Note("every system call is traced (--explain): it is slower, and nobody inside can trace".into()));
        let labelled = plan.process.apparmor_profile.is_some() || plan.process.selinux_label.is_some();
        if let Some(why) = records::unheard().filter(|_| labelled) {
            plan.notes.push(Note(format!("what AppArmor or SELinux denies is not told (--explain): {why}")));
        }
        let machine = Machine::new(&plan.cgroup);
        Explainer {
            filter: Filter::of(plan),
            plan: plan.clone(),
            rules,
            machine,
            tally: Tally::default(),
            telling,
            met: BTreeSet::new(),
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene { plan: &self.plan, filter: &self.filter, rules: &self.rules, outside: &self.machine }
    }

    fn take(&mut self, denials: Vec<Denial>) {
        for denial in denials {
            if let Some(denial) = self.tally.add(denial) {
                self.telling.denial(denial);
            }
        }
    }

    /// Takes connections and names that were refused.
    pub fn refused(&mut self, events: &[Event]) {
        let denials = events.iter().filter_map(|event| why::refused(&self.scene(), event)).collect();
        self.take(denials);
    }

    /// Takes what the kernel has recorded. What was seen already is not told again.
    pub fn recorded(&mut self, kept: Kept) {
        self.tally.left_out = self.tally.left_out.saturating_add(kept.left_out);
        let seen = self.tally.denials.len();
        for record in &kept.denials {
            // Labels are shared; who was traced is inside.
            let known = match record.access {
                Access::Landlock { .. } => true,
                // Whoever is traced is seen to be killed, with the arguments.
                Access::Seccomp { .. } => false,
                Access::AppArmor { pid, .. } | Access::Selinux { pid, .. } => self.met.contains(&pid),
            };
            let Some(denial) = why::recorded(&self.scene(), record).filter(|_| known) else { continue };
            if denial.layer != Layer::Landlock || !self.tally.has(&denial, seen) {
                self.take(vec![denial]);
            }
        }
    }

    /// Takes the end of the run, and tells what is left to tell.
    pub fn end(mut self, id: &str, ending: &Ending) -> Record {
        let denials = why::ended(&self.scene(), ending);
        self.take(denials);
        self.telling.end(&self.tally);
        Record::new(id, &self.plan, self.tally)
    }
}

impl Report for Explainer {
    fn call(&mut self, call: &Call) {
        self.machine.meet(call.pid);
        if self.met.len() < MOST_MET {
            self.met.insert(call.pid);
        }
        let denials = why::why(&self.scene(), call);
        self.take(denials);
    }
}

/// The lines of the profile that flags name: of a name or a file, or of what was compiled into a folder.
///
/// # Errors
/// As those of finding it.
pub fn lines(profile: Option<&str>, compiled: Option<&Path>) -> Result<Rules, String> {
    let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/'));
    if let Some(folder) = compiled {
        return Ok(Rules::of_manifest(&artefacts::manifest(folder, profile)?.1, home));
    }
    let document = match profile {
        Some(name) => Search::of_user().document(name)?,
        None => {
            let own = built_in::document("default").ok_or("there is no built-in profile default")?;
            own.map_err(|faults| faults.to_string())?
        }
    };
    Ok(Rules::of_document(&document, home))
}
