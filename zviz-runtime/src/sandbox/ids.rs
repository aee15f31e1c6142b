//! Who the command is, inside and outside.

use super::facts::Facts;
use super::{Sandbox, Userns};
use crate::plan::{IdMap, Note, Problems};

/// How many ids a sandbox of root has: what programs take for all there are.
pub const RANGE: u32 = 65_536;

/// Ids inside and their maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub uids: IdMap,
    pub gids: IdMap,
    /// Ids of shared folders need translating.
    pub translated: bool,
}

/// The command keeps the caller's ids inside, so that what it sees of the caller's files is what the caller sees.
pub(super) fn lower(sandbox: &Sandbox, facts: &Facts, notes: &mut Vec<Note>, problems: &mut Problems) -> Ids {
    let place = || format!("--user {}", sandbox.user.as_deref().unwrap_or_default());
    let (uid, gid) = match &facts.user {
        None => (facts.uid, facts.gid),
        Some(Ok(ids)) => *ids,
        Some(Err(why)) => {
            problems.add(place(), why.as_str());
            (facts.uid, facts.gid)
        }
    };
    let Some(base) = facts.subid_base else {
        // One id may be mapped to oneself without any right, under whatever number (user_namespaces(7)). A different
        // number is a name for the caller, not another user: nothing is gained or lost by it.
        return Ids {
            uid,
            gid,
            uids: IdMap { inside: uid, outside: facts.uid, count: 1 },
            gids: IdMap { inside: gid, outside: facts.gid, count: 1 },
            translated: false,
        };
    };
    if uid >= RANGE || gid >= RANGE {
        problems.add(place(), format!("ids inside a sandbox end at {}", RANGE - 1));
    }
    let outside = match sandbox.userns {
        Userns::Auto => base,
        Userns::Identity => {
            notes.push(Note(
                "user ids inside are the host's own (--userns identity): only capabilities are taken".into(),
            ));
            0
        }
    };
    let map = IdMap { inside: 0, outside, count: RANGE };
    Ids { uid, gid, uids: map, gids: map, translated: outside != 0 }
}
