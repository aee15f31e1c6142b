//! What is in a spec and is not done here: said, never passed over.

use super::input::{Findings, Input};

/// Sections of other platforms. config.md, "Platform-specific configuration".
const OTHER_PLATFORMS: &[&str] = &["freebsd", "solaris", "vm", "windows", "zos"];

/// Refuses what would be missed, and notes what is for others.
pub(super) fn check(input: Input, found: &mut Findings) {
    for section in OTHER_PLATFORMS {
        if input.spec.raw.get(section).is_some() {
            found.note(section, "is for another platform, left out");
        }
    }
    if input.spec.oci.process().as_ref().is_some_and(|process| process.command_line().is_some()) {
        found.note("process.commandLine", "is for Windows, left out: args hold");
    }
    if input.linux().is_some_and(|linux| linux.intel_rdt().is_some()) {
        let why = match input.host.resctrl {
            true => "classes of service are not supported",
            false => "resctrl is not mounted: this machine has no Intel RDT, or it is switched off",
        };
        found.problem("linux.intelRdt", why);
    }
}
