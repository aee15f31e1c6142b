//! The text of a state in two parts: the plan, which is nearly all of it and known early, and what is known last.

use crate::apply::rootfs::Attached;
use crate::container::{Id, Init, State};
use crate::network::Made;
use crate::plan::Plan;
use crate::receipt::{Applied, Asked};
use serde::Serialize;

/// As much as the state of most containers.
pub(super) const ROOM: usize = 32 << 10;

/// A plan as it is remembered.
#[derive(Debug)]
pub struct PlanText(Vec<u8>);

/// All of a state but the plan.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest<'a> {
    oci_version: &'a str,
    id: &'a Id,
    init: &'a Option<Init>,
    bundle: &'a str,
    created: &'a str,
    owner: u32,
    creating: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attached: &'a Option<Attached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: &'a Option<Made>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watcher: &'a Option<Init>,
    asked: &'a Asked,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: &'a Option<Applied>,
}

impl PlanText {
    pub(super) fn of(plan: &Plan) -> serde_json::Result<PlanText> {
        // Room for most, so that it need not grow.
        let mut text = Vec::with_capacity(ROOM);
        text.extend_from_slice(b"{\"plan\":");
        serde_json::to_writer(&mut text, plan)?;
        Ok(PlanText(text))
    }

    /// The whole text of a state that has this plan.
    pub(super) fn with(self, state: &State) -> serde_json::Result<Vec<u8>> {
        // Written out, so that a new field cannot be left out.
        let State {
            oci_version,
            id,
            init,
            bundle,
            created,
            owner,
            creating,
            attached,
            network,
            watcher,
            asked,
            applied,
            plan: _,
        } = state;
        let (owner, creating) = (*owner, *creating);
        let rest = Rest {
            oci_version,
            id,
            init,
            bundle,
            created,
            owner,
            creating,
            attached,
            network,
            watcher,
            asked,
            applied,
        };
        let mut text = self.0;
        let end = text.len();
        serde_json::to_writer(&mut text, &rest)?;
        if let Some(brace) = text.get_mut(end) {
            // One object of the two.
            *brace = b',';
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_the_state() {
        let mut state = State::new("1.2.0", Id::new("a").unwrap(), "/b", Plan::default());
        for init in [None, Init::read(1).unwrap()] {
            (state.init, state.watcher) = (init, init);
            let text = PlanText::of(&state.plan).unwrap().with(&state).unwrap();
            let parts: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(parts, serde_json::to_value(&state).unwrap());
            assert_eq!(serde_json::from_slice::<State>(&text).unwrap(), state);
            state.creating = false;
        }
    }
}
