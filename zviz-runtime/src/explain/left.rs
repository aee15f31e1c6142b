//! What a container leaves that was not traced: the decisions of its broker, where they are recorded in a file, what the kernel
//! or auditd(8) has of denials, and the limits that its cgroup has met. Nothing is kept for it beforehand.

use super::Machine;
use super::{Record, Tally};
use crate::apply::cgroup::{self, oom};
use crate::container::{Init, State, time};
use crate::foreground::Outcome;
use crate::records;
use crate::why::{self, Denial, Ending, Filter, How, Rules, Scene, ended};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use zviz_broker::policy::files::Verdict;
use zviz_broker::policy::{Policy, Trail, sockets};
use zviz_sys::wait::Exit;

/// The newest part of an audit file that is read, in bytes.
const NEWEST: u64 = 4 << 20;

/// A line of the audit: what of a decision is told on.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    container: Option<String>,
    syscall: Option<String>,
    verdict: Option<String>,
    rule: Option<String>,
    arguments: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What is known of a container.
///
/// # Errors
/// Those of reading the audit.
pub fn of(state: &State) -> io::Result<Record> {
    let plan = &state.plan;
    let mut tally = Tally::default();
    if let Some(Trail::File { path, .. }) = &plan.profile.broker.audit {
        let text =
            newest(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let refusing = refusing(&plan.profile.broker);
        let denials = text.lines().filter_map(|line| denial(line, state.id.as_str(), &refusing));
        denials.for_each(|denial| tally.count(denial));
    }
    let kills = oom::kills(&plan.cgroup).unwrap_or(0);
    let (filter, rules, outside) = (Filter::default(), Rules::default(), Machine::new(&plan.cgroup));
    let scene = Scene { plan, filter: &filter, rules: &rules, outside: &outside };
    recorded(&scene, state, &mut tally);
    // How it ends is for whoever waits for it.
    let ending = Ending { outcome: Outcome::Ended(Exit::Code(0)), memory_kills: kills, timeout: None };
    ended(&scene, &ending).into_iter().for_each(|denial| tally.count(denial));
    let mut record = Record::new(state.id.as_str(), plan, tally);
    record.ended = None;
    Ok(record)
}

/// What the kernel has recorded of it.
fn recorded(scene: &Scene<'_>, state: &State, tally: &mut Tally) {
    let init = state.init.filter(|_| records::has_pids_of_the_machine());
    // Without them nothing tells its records from those of who came before.
    let Some((init, since)) = init.zip(time::milliseconds(&state.created)) else { return };
    let kept = records::kept::of(&records::whose(scene.plan, init.pid, since)).unwrap_or_default();
    let pids: BTreeSet<u32> = cgroup::pids(&scene.plan.cgroup).unwrap_or_default().into_iter().collect();
    // Labels are shared. Of a process that lives it is known whose it is; init may have ended, and nobody have waited for it.
    let elsewhere = |pid: i32| {
        let inside = u32::try_from(pid).is_ok_and(|pid| pids.contains(&pid));
        let is_init = pid == init.pid && Init::read(pid).is_ok_and(|found| found == Some(init));
        !inside && !is_init && Path::new(&format!("/proc/{pid}")).exists()
    };
    tally.left_out = tally.left_out.saturating_add(kept.left_out);
    for record in kept.denials.iter().filter(|record| !record.pid.is_some_and(elsewhere)) {
        let Some(mut denial) = why::recorded(scene, record) else { continue };
        // Flags are for what `zviz run` was given them for.
        if state.bundle != "/" {
            denial.changes.retain(|change| !matches!(change.how, How::Flag(_)));
        }
        tally.count(denial);
    }
}

fn newest(path: &std::path::Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(NEWEST)))?;
    let mut bytes = Vec::new();
    file.take(NEWEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the rules are called that refuse. One that allows is told too, where the kernel has refused the call.
fn refusing(policy: &Policy) -> Vec<&str> {
    let files = policy.files.iter().flat_map(|files| files.rules.iter().chain(&files.within).enumerate());
    let files = files.filter(|(_, rule)| matches!(rule.verdict, Verdict::Deny(_) | Verdict::Ask));
    let ways = policy.sockets.iter().flat_map(|sockets| sockets.connect.iter().enumerate());
    let ways = ways.filter(|(_, rule)| rule.verdict() == sockets::Verdict::Deny);
    let keys =
        files.map(|(at, _)| format!("files.rules[{at}]")).chain(ways.map(|(at, _)| format!("sockets.connect[{at}]")));
    let origins = keys.chain(["sockets.otherwise".to_owned()]).filter_map(|key| policy.origins.get(&key));
    origins.map(String::as_str).chain(["mounts.types", "sockets.otherwise"]).collect()
}

/// A line, if it tells of something that was refused to this container. All its strings are escaped, and of bounded length.
fn denial(line: &str, id: &str, refusing: &[&str]) -> Option<Denial> {
    let line: Line = serde_json::from_str(line).ok()?;
    let refused = line.verdict.as_deref()?.strip_prefix("errno ")?;
    let decided = matches!(line.kind.as_str(), "decision" | "answered") && line.container.as_deref() == Some(id);
    let rule = line.rule.filter(|rule| refusing.contains(&rule.as_str()) || rule.starts_with("sockets: "))?;
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let arguments = line.arguments.unwrap_or_default();
    // What a path led to says more than the path.
    let object = match ["file", "path"].iter().find_map(|name| arguments.get(*name)) {
        Some(path) => word(path),
        None => arguments.values().map(word).collect::<Vec<_>>().join(" "),
    };
    decided.then(|| Denial::recorded(line.syscall.as_deref().unwrap_or_default(), &object, refused, &rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_refuses_is_a_denial() {
        let line = r#"{"type":"decision","container":"a","pid":1,"syscall":"openat","arguments":{"path":"/w/k.key"},"verdict":"errno EACCES","rule":"own.yaml:3: filesystem.patterns.deny_read[0]","latency_us":1}"#;
        let refusing = ["own.yaml:3: filesystem.patterns.deny_read[0]"];
        let found = denial(line, "a", &refusing).unwrap();
        assert_eq!(
            (found.call.as_str(), found.object.as_str(), found.result.as_str()),
            ("openat", "/w/k.key", "EACCES")
        );
        let rule = found.rule.unwrap();
        assert_eq!((rule.place.as_str(), rule.key.as_str()), ("own.yaml:3", "filesystem.patterns.deny_read[0]"));
        assert_eq!(denial(line, "b", &refusing), None);
        // The kernel's own answer, under a rule that lets it give one.
        assert_eq!(denial(line, "a", &[]), None);
        assert_eq!(denial(&line.replace("errno EACCES", "allow"), "a", &refusing), None);
        assert_eq!(denial("{", "a", &refusing), None);
    }
}
