//! The process of a plan in words.

use super::words::{ids, mode, quoted, rlimit};
use crate::plan::{Capabilities, Process, capabilities};
use std::fmt::{self, Formatter};

pub(super) fn process(f: &mut Formatter<'_>, p: &Process) -> fmt::Result {
    if p.args.is_empty() {
        return writeln!(f, "process: none");
    }
    writeln!(f, "run: {}", p.args.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "))?;
    writeln!(f, "cwd: {}", quoted(&p.cwd))?;
    p.env.iter().try_for_each(|entry| writeln!(f, "env {}", quoted(entry)))?;
    if p.find_home {
        writeln!(f, "env HOME as in the container's /etc/passwd")?;
    }
    if p.terminal {
        let size = p.console_size.map_or(String::new(), |(rows, columns)| format!(", {rows} rows, {columns} columns"));
        writeln!(f, "terminal: yes{size}")?;
    }
    let groups = p.credentials.groups.as_ref().map_or("as they are".into(), |groups| ids(groups));
    writeln!(f, "as: uid {}, gid {}, groups {groups}", p.credentials.uid, p.credentials.gid)?;
    if let Some(umask) = p.umask {
        writeln!(f, "umask: {}", mode(umask))?;
    }
    sets(f, p.capabilities)?;
    writeln!(f, "no new privileges: {}", if p.no_new_privs { "yes" } else { "no" })?;
    p.rlimits.iter().try_for_each(|limit| writeln!(f, "{}", rlimit(limit)))?;
    scheduling(f, p)?;
    let labels = [("apparmor", &p.apparmor_profile), ("selinux", &p.selinux_label)];
    for (name, label) in labels {
        label.iter().try_for_each(|label| writeln!(f, "{name}: {}", quoted(label)))?;
    }
    if p.reaper {
        writeln!(f, "reaper: yes")?;
    }
    writeln!(f, "session keyring: {}", if p.new_keyring { "new" } else { "the caller's" })
}

fn scheduling(f: &mut Formatter<'_>, p: &Process) -> fmt::Result {
    if let Some(score) = p.oom_score_adj {
        writeln!(f, "oom score: {score}")?;
    }
    if let Some(s) = p.scheduler {
        writeln!(
            f,
            "scheduler: policy {}, flags {:#x}, nice {}, priority {}, runtime {} ns, deadline {} ns, period {} ns",
            s.policy, s.flags, s.nice, s.priority, s.runtime, s.deadline, s.period
        )?;
    }
    if let Some(priority) = p.io_priority {
        writeln!(f, "io priority: class {}, level {}", priority >> 13, priority & 0x1fff)?;
    }
    for (cpus, when) in [(&p.initial_affinity, "until exec"), (&p.final_affinity, "from exec on")] {
        cpus.iter().try_for_each(|cpus| writeln!(f, "cpus {when}: {}", ids(cpus)))?;
    }
    if let Some(domain) = p.personality {
        writeln!(f, "personality: {domain:#x}")?;
    }
    if let Some(policy) = &p.memory_policy {
        writeln!(f, "memory policy: mode {:#x}, nodes {}", policy.mode, ids(&policy.nodes))?;
    }
    Ok(())
}

fn sets(f: &mut Formatter<'_>, c: Capabilities) -> fmt::Result {
    let sets = [
        ("bounding", c.bounding),
        ("effective", c.effective),
        ("permitted", c.permitted),
        ("inheritable", c.inheritable),
        ("ambient", c.ambient),
    ];
    if sets.iter().all(|(_, mask)| *mask == 0) {
        return writeln!(f, "capabilities: none");
    }
    for (name, mask) in sets {
        let names = capabilities::names(mask);
        writeln!(f, "capabilities {name}: {}", if names.is_empty() { "none".into() } else { names.join(" ") })?;
    }
    Ok(())
}
