//! A run whose denials are told: from each call that the observer saw to a line for whoever waits, and a record for `zviz why`.
//!
//! ```text
//! observer's thread: Call ──► why ──► Tally ──► Telling (stderr, a file)        each denial when it comes first
//! at the end:        Ending ──► why::ended ──► Tally ──► Telling, Record
//! ```

pub mod machine;
pub mod record;
pub mod tally;
pub mod telling;

pub use machine::Machine;
pub use record::Record;
pub use tally::Tally;
pub use telling::{Form, Telling};

use crate::plan::Plan;
use crate::why::{self, Denial, Ending, Filter, Rules, Scene};
use zviz_observe::Call;

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
    /// `plan` is that of the container as it was made.
    #[must_use]
    pub fn new(plan: Plan, rules: Rules, telling: Telling) -> Explainer {
        let machine = Machine::new(&plan.cgroup);
        Explainer { filter: Filter::of(&plan), plan, rules, machine, tally: Tally::default(), telling }
    }

    /// Takes a call that has ended.
    pub fn call(&mut self, call: &Call) {
        let denials = why::why(&self.scene(), call);
        self.take(denials);
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

    /// Takes the end of the run, and tells what is left to tell.
    #[must_use]
    pub fn end(mut self, id: &str, ending: &Ending) -> Record {
        let denials = why::ended(&self.scene(), ending);
        self.take(denials);
        self.telling.end(&self.tally);
        Record::new(id, &self.plan, self.tally)
    }
}
