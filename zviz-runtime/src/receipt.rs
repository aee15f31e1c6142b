//! What was asked for and what is in force, of one container: for people, and for programs that keep it beside the result.
//!
//! Every start ends with all layers of its plan in force, or with none: init reports success last of all, and what it could
//! not do ends it before. So a receipt is made of the plan and of what the runtime saw itself ([`Applied`]), which is only
//! there once init has reported; nothing is listed of a layer that either of them lacks.

mod asked;
mod containment;
mod layers;
mod machine;

pub use asked::{Asked, Form};
pub use machine::{Applied, Loaded, Machine};

use crate::container::State;
use crate::profile::hashed::{Hashed, sha256};
use containment::Containment;
use layers::{Broker, Filter, Label, Landlock, Network, Resources};
use serde::Serialize;

/// Of the structure below. A reader may rely on what it knows of a version; fields are only added to it.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole document. `docs/receipt.md` has its fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The version of zviz that made the container.
    pub zviz: &'static str,
    /// The container's id.
    pub container: &'a str,
    /// When init reported that every layer is in force. RFC 3339, UTC.
    pub applied_at: &'a str,
    /// What was asked for.
    pub asked: &'a Asked,
    /// The policy.
    pub profile: Policy<'a>,
    /// The machine.
    pub host: &'a Machine,
    /// Namespaces, root, ids and rights.
    pub containment: Containment,
    /// System calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Filter<'a>>,
    /// Who answers some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Broker<'a>>,
    /// Files and ports by the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landlock: Option<Landlock>,
    /// AppArmor and SELinux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsm: Option<Label<'a>>,
    /// Limits.
    pub resources: Resources<'a>,
    /// The network.
    pub network: Network<'a>,
    /// What was weakened or left to the host, and why.
    pub notes: Vec<&'a str>,
}

/// The profile, by its content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy<'a> {
    name: &'a str,
    /// The texts that it was made of, its own first. None where it was made by a program.
    texts: &'a [Hashed],
    /// Of all that it means for this container, folders that flags share included.
    sha256: String,
}

impl<'a> Receipt<'a> {
    /// Of a container; none before init has reported, and of a container that an older version made. Pure.
    #[must_use]
    pub fn of(state: &'a State, host: &'a Machine) -> Option<Receipt<'a>> {
        let applied = state.applied.as_ref()?;
        let plan = &state.plan;
        Some(Receipt {
            schema_version: SCHEMA_VERSION,
            zviz: env!("CARGO_PKG_VERSION"),
            container: state.id.as_str(),
            applied_at: &applied.at,
            asked: &state.asked,
            profile: Policy {
                name: &plan.profile.name,
                texts: &plan.profile.texts,
                // A structure of strings and numbers.
                sha256: sha256(&serde_json::to_vec(&plan.profile).unwrap_or_default()),
            },
            host,
            containment: Containment::of(plan),
            seccomp: Filter::of(plan, applied),
            broker: Broker::of(plan, applied),
            landlock: plan.landlock.as_ref().map(Landlock::of),
            lsm: Label::of(plan),
            resources: Resources::of(plan, applied),
            network: Network::of(plan),
            notes: plan.notes.iter().map(|note| note.0.as_str()).collect(),
        })
    }

    /// As a text that ends with a line.
    ///
    /// # Errors
    /// None of its fields is one that JSON cannot express.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests;
