//! What the machine says of itself.

use crate::decision::{Decision, Step};
use crate::held::Held;
use crate::policy::Policy;

/// sysinfo(2).
pub fn sysinfo(_: &Policy, held: Held<'_>) -> Decision {
    Decision::new(Step::Sysinfo(held.long(0)), "sysinfo")
}

/// uname(2).
pub fn uname(_: &Policy, held: Held<'_>) -> Decision {
    Decision::new(Step::Uname(held.long(0)), "uname")
}
