use super::*;
use crate::foreground::Limit;
use crate::plan::Rlimit;
use crate::plan::cgroup::Group;
use nix::errno::Errno;

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.process.reaper = true;
    let resources = &mut plan.cgroup.resources;
    (resources.memory.limit, resources.pids) = (Some(64 << 20), Some(20));
    let limits = &mut plan.profile.limits;
    (limits.memory, limits.pids, limits.wall_time) = (Some(64 << 20), Some(100), Some(1500));
    (limits.output, limits.cpu_total) = (Some(1000), Some(2000));
    for (key, place) in [("memory_max", "a.yaml:3"), ("pids_max", "a.yaml:4"), ("output_max", "a.yaml:5")] {
        limits.places.insert(key.to_owned(), place.to_owned());
    }
    let rlimit = |resource, soft| Rlimit { resource, soft, hard: soft };
    plan.process.rlimits =
        vec![rlimit(libc::RLIMIT_CPU, 3), rlimit(libc::RLIMIT_FSIZE, 10), rlimit(libc::RLIMIT_NOFILE, 4)];
    plan
}

fn said(outcome: Outcome, usage: Usage) -> Vec<String> {
    Report::judged("x", &plan(), outcome, usage).verdict.lines().collect()
}

fn killed() -> Outcome {
    Outcome::Ended(Exit::Signal(libc::SIGKILL))
}

#[test]
fn each_limit_that_ends_is_named() {
    let none = Usage::default;
    assert_eq!(said(Outcome::TimedOut, none()), ["ended by a limit: wall_time 1500ms (--timeout): its time was up"]);
    assert_eq!(
        said(Outcome::Exceeded(Limit::CpuTime), none()),
        ["ended by a limit: cpu_time_total 2s (the default): its processor time was used up"]
    );
    assert_eq!(
        said(Outcome::Exceeded(Limit::Output), none()),
        ["ended by a limit: output_max 1000 bytes (resources.output_max, a.yaml:5): it wrote more than that"]
    );
    // As a shell says of a program that it ran.
    for end in [Exit::Code(152), Exit::Signal(libc::SIGXCPU)] {
        assert!(said(Outcome::Ended(end), none())[0].starts_with("ended by a limit: cpu_time 3s "));
    }
    assert!(
        said(Outcome::Ended(Exit::Signal(libc::SIGXFSZ)), none())[0]
            .starts_with("ended by a limit: file_size 10 bytes")
    );
    assert_eq!(
        said(killed(), Usage { oom_kills: Some(1), ..none() }),
        [
            "ended by a limit: memory_max 64M (resources.memory_max, a.yaml:3): the kernel killed 1 process for want of memory"
        ]
    );
}

#[test]
fn what_was_in_the_way_did_not_end_it() {
    let usage = Usage { oom_kills: Some(2), pids_refused: Some(3), ..Usage::default() };
    let said = said(Outcome::Ended(Exit::Code(1)), usage);
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("a limit was in the way: memory_max 64M ") && said[0].contains("killed 2 processes"));
    // The flag's is lower than the profile's.
    assert_eq!(said[1], "a limit was in the way: pids_max 20 (--pids): 3 new processes or threads were refused");
}

#[test]
fn nothing_is_said_of_limits_that_held_nobody_up() {
    let usage = Usage { oom_kills: Some(0), pids_refused: Some(0), output_dropped_bytes: Some(0), ..Usage::default() };
    for end in [Exit::Code(0), Exit::Code(1), Exit::Signal(libc::SIGKILL), Exit::Signal(libc::SIGSEGV)] {
        assert_eq!(said(Outcome::Ended(end), usage.clone()), [""; 0], "{end}");
    }
    let mut free = plan();
    free.process.rlimits.clear();
    let report = Report::judged("x", &free, Outcome::Ended(Exit::Code(152)), usage);
    assert_eq!(report.verdict, Verdict::default(), "there is no such limit");
}

#[test]
fn limits_say_who_asked_for_them() {
    let mut plan = plan();
    let of = |plan: &Plan, limit: &str| bounds(plan).into_iter().find(|bound| bound.limit == limit).unwrap();
    assert_eq!(of(&plan, "open_files").unseen, Some("the kernel tells nobody but the program"));
    assert_eq!(of(&plan, "memory_max").unseen, None);
    plan.process.reaper = false;
    assert_eq!(of(&plan, "pids_max").asked_by, "linux.resources.pids.limit");
    plan.cgroup.resources.pids = Some(100);
    assert_eq!(of(&plan, "pids_max").place.as_deref(), Some("a.yaml:4"));
}

#[test]
fn errors_of_a_start_name_the_limit_that_may_be_too_low() {
    let said = hint(&plan(), Errno::EAGAIN).unwrap();
    assert_eq!(said, "pids_max 20 (--pids) may be too low to start with: raise it");
    assert!(hint(&plan(), Errno::EMFILE).unwrap().starts_with("open_files 4 (the default)"));
    assert_eq!(hint(&Plan::default(), Errno::EAGAIN), None);
    assert_eq!(hint(&plan(), Errno::EPERM), None);
}

#[test]
fn what_is_not_counted_is_not_there() {
    let json = serde_json::to_value(Report::judged("x", &plan(), killed(), Usage::default())).unwrap();
    assert_eq!((&json["status"], &json["signal"], json.get("code")), (&137.into(), &9.into(), None));
    assert_eq!((json["usage"].get("oomKills"), &json["endedBy"]), (None, &serde_json::Value::Null));
    let group = Group { controllers: vec!["pids".into()], mount: "/no/such".into(), path: "x".into() };
    let cgroup = crate::plan::cgroup::Cgroup { v2: Some(group), ..crate::plan::cgroup::Cgroup::none() };
    assert_eq!(Usage::read(&cgroup, false), Usage::default());
}
