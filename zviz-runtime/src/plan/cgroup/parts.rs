//! A container with a broker shares its cgroup with it. The cgroup keeps what counts for both, limits of memory and time
//! and all statistics; who is told, killed and frozen as the container is apart.
//!
//! ```text
//! version 2:  X          limits, devices, statistics; no process
//!             X/payload  the container's processes, and the root of what they see; the same limits once more, to be read there
//!             X/broker   its broker, with a limit of memory of its own
//! version 1:  X          both, but for the hierarchies of the freezer and of pids, where the broker is not
//! ```
//!
//! A call that is held cannot be frozen before it is answered, so that the broker must not be frozen with its callers. A
//! cgroup of version 2 that gives controllers to others below it has no process itself (cgroups(7), "no internal
//! processes"); on version 1 processes of another pid namespace are not even listed beside the container's own.

use super::v2::Write;
use super::{Cgroup, Driver, Group};
use std::borrow::Cow;

const PAYLOAD: &str = "payload";
const BROKER: &str = "broker";

/// Bytes that the broker of a container may use, with those of everything that `exec` runs in it, kernel memory included.
/// One that works for all callers that it can have at once needs some 20 MiB; the rest is for what it makes in their place, since the
/// kernel charges to whoever makes a file what it keeps of it. On a tmpfs that is a KiB for as long as the file is there, and those of
/// a sandbox have room for some 600,000. The container's own limit is for both.
pub const MEMORY: u64 = 1 << 30;

/// Nearly never the one that is ended where memory is short: without it the container would be of no use, and it uses little.
pub const OOM_SCORE_ADJ: i32 = -999;

impl Cgroup {
    /// Whether it can be shared with a broker: systemd divides slices itself.
    pub(in crate::plan) fn can_be_parted(&self) -> bool {
        !matches!(&self.driver, Driver::None) && !matches!(&self.driver, Driver::Systemd(unit) if unit.is_slice())
    }

    /// Where the container's processes are.
    pub fn payload(&self) -> Cow<'_, Cgroup> {
        if !self.parted {
            return Cow::Borrowed(self);
        }
        let mut payload = Cgroup { parted: false, ..self.clone() };
        payload.v2 = self.v2.as_ref().map(|group| part(group, PAYLOAD));
        Cow::Owned(payload)
    }

    /// Where the broker is, without any limit that is the container's; none where it is not charged to the container.
    pub fn broker(&self) -> Option<Cgroup> {
        let told_by = self.told_by_v1();
        let apart = |group: &&Group| Some(*group) != told_by && !group.has("pids") && !group.has("freezer");
        self.parted.then(|| Cgroup {
            driver: self.driver.clone(),
            v2: self.v2.as_ref().map(|group| part(group, BROKER)),
            v1: self.v1.iter().filter(apart).cloned().collect(),
            ..Cgroup::none()
        })
    }

    /// The hierarchy of version 1 that tells which processes are the container's.
    pub fn told_by_v1(&self) -> Option<&Group> {
        if !self.parted {
            return self.v1("devices").or_else(|| self.v1.first());
        }
        // One where the broker is not; of those where it should be, what it may open counts more than what it is charged.
        let free = self.v1.iter().find(|group| !group.has("memory") && !group.has("devices"));
        [self.v1("freezer"), self.v1("pids"), free, self.v1("memory"), self.v1.first()].into_iter().flatten().next()
    }

    /// Of what is written into the unified hierarchy, that for the whole: the number of processes is the container's alone,
    /// and so is how it divides its part.
    pub fn v2_writes_of_all(&self) -> Vec<Write> {
        let mut writes = self.v2_writes();
        writes.retain(|write| !(self.parted && matches!(write.controller(), "pids" | "cgroup")));
        writes
    }

    /// And that for the container's part: all that can be said twice.
    pub fn v2_writes_of_payload(&self) -> Vec<Write> {
        let mut writes = self.v2_writes();
        writes.retain(|write| write.file != "cpuset.cpus.partition");
        writes
    }
}

fn part(group: &Group, name: &str) -> Group {
    Group { path: group.path.join(name), ..group.clone() }
}
