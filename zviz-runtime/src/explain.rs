//! A run whose denials are told: from each call that the observer saw to a line for whoever waits, and a record for `zviz why`.
//!
//! ```text
//! observer's thread: Call ──► why ──► Tally ──► Telling (stderr, a file)        each denial when it comes first
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
use crate::why::{self, Denial, Ending, Filter, Rules, Scene};
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
}

impl Explainer {
    /// Notes in the plan that the run is traced.
    #[must_use]
    pub fn new(plan: &mut Plan, rules: Rules, telling: Telling) -> Explainer {
        plan.notes
            .push(Note("every system call is traced (--explain): it is slower, and nobody inside can trace".into()));
        let machine = Machine::new(&plan.cgroup);
        Explainer { filter: Filter::of(plan), plan: plan.clone(), rules, machine, tally: Tally::default(), telling }
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
