//! Why a call was denied: which layer answered, by which rule of which line, and the smallest change that would allow it.
//!
//! ```text
//! Call ──► seccomp ──► broker ──► network ──► limits ──► capabilities ──► mounts ──► Landlock ──► [Denial]
//! ```
//!
//! Pure: [`Scene`] holds the plan, the lines of the profile, and an [`Outside`] to ask what the machine alone knows. The
//! layers are asked in the order in which the kernel asks them. A layer that could not have given this answer is silent,
//! so that a program's ordinary errors have no denial at all; a change is told only if the layer, asked again with it,
//! would allow the call.

mod broker;
mod capabilities;
mod change;
mod denial;
mod ended;
mod landlock;
mod limits;
mod mounts;
mod network;
mod recorded;
mod rules;
mod scene;
mod seccomp;
mod socket;

pub use change::{Change, How, Risk};
pub use denial::{Denial, Layer};
pub use ended::{Ending, ended};
pub use network::refused;
pub use recorded::recorded;
pub use rules::{Origin, Rules};
pub use scene::{Filter, Outside, Scene};

use seccomp::Answer;
use zviz_observe::Call;

/// The denials that can have caused a call's error: none where it would have failed without a sandbox as well, more than one
/// where several layers refuse what was asked, the one that the kernel asked first before others.
#[must_use]
pub fn why(scene: &Scene<'_>, call: &Call) -> Vec<Denial> {
    let mut denials = all(scene, call);
    for denial in &mut denials {
        // What cannot be shown as it is cannot be written as it is shown.
        denial.changes.retain(Change::is_plain);
    }
    denials
}

fn all(scene: &Scene<'_>, call: &Call) -> Vec<Denial> {
    let errno = scene::errno(call);
    if errno.is_none() && call.result != Call::KILLED {
        return mounts::seen(scene, call).into_iter().collect();
    }
    match seccomp::ask(scene, call) {
        Answer::Denied(denial) => return vec![*denial],
        Answer::Asks => {
            if let Some(denial) = broker::ask(scene, call) {
                return vec![denial];
            }
        }
        Answer::Passes => {}
    }
    let Some(errno) = errno else { return Vec::new() };
    let layers = [network::ask, limits::ask, capabilities::ask];
    let mut denials: Vec<Denial> = layers.iter().filter_map(|ask| ask(scene, call, errno)).collect();
    // A sandbox inside has mounts of its own, under the same names.
    if scene.plan.profile.nested && scene.outside.sees_the_mounts(call.pid) != Some(true) {
        return denials;
    }
    denials.extend(mounts::ask(scene, call, errno));
    // Its rules follow the mounts: what a mount refuses it refuses as well, and what changes the one changes the other.
    if !denials.iter().any(|denial| denial.layer == Layer::Mounts) {
        denials.extend(landlock::ask(scene, call, errno));
    }
    denials
}

#[cfg(test)]
mod tests;
