//! Getting in, being stopped, and going away.

use crate::support::*;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup::{self as host, CgroupHost, Mode};
use zviz_runtime::plan::cgroup::Cgroup;

#[test]
fn a_process_is_in_every_hierarchy() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    let lines = fs::read_to_string(format!("/proc/{}/cgroup", running.child.id())).unwrap();
    for group in running.cgroup.v1.iter().chain(&running.cgroup.v2) {
        let path = format!(":/{}", group.path.display());
        let controller = group.controllers.first().map_or("", String::as_str);
        let line =
            lines.lines().find(|l| l.split(':').nth(1).is_some_and(|names| names.split(',').any(|n| n == controller)));
        assert!(
            line.unwrap_or_default().ends_with(&path) || lines.contains(&format!("0:{path}")),
            "{controller} in {lines}"
        );
    }
    assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()]);
}

#[test]
fn freezing_and_killing() {
    if !root() {
        return;
    }
    let mut running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    assert!(!apply::is_frozen(&running.cgroup).unwrap());
    apply::freeze(&running.cgroup).unwrap();
    assert!(apply::is_frozen(&running.cgroup).unwrap());
    apply::thaw(&running.cgroup).unwrap();
    assert!(!apply::is_frozen(&running.cgroup).unwrap());
    apply::kill(&running.cgroup, Signal::SIGTERM).unwrap();
    assert_eq!(running.child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
}

#[test]
fn a_frozen_cgroup_can_be_killed() {
    if !root() {
        return;
    }
    let mut hosts = vec![host::probe().unwrap()];
    // Version 1 alone: no cgroup.kill, and signals wait for the thaw.
    if hosts[0].mode == Mode::Hybrid {
        hosts.push(CgroupHost { mode: Mode::V1, v2: None, ..hosts[0].clone() });
    }
    for host in hosts {
        let mut running = Running::sleeping(&planned(&host, json!({})));
        apply::freeze(&running.cgroup).unwrap();
        apply::kill(&running.cgroup, Signal::SIGKILL).unwrap();
        assert_eq!(running.child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    }
}

#[test]
fn one_that_is_in_use_is_refused() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    let error = apply::create(&running.cgroup).unwrap_err();
    assert!(matches!(error, apply::Error::InUse { processes: 1, .. }), "{error}");
}

#[test]
fn removing_takes_what_the_container_made_and_what_is_gone() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    for group in running.cgroup.v1.iter().chain(&running.cgroup.v2) {
        fs::create_dir_all(group.dir().join("inner/most")).unwrap();
    }
    let cgroup = running.cgroup.clone();
    let error = apply::remove(&cgroup).unwrap_err();
    assert!(matches!(error, apply::Error::Left { .. }), "a live process was lost: {error}");
    drop(running);
    apply::remove(&cgroup).unwrap();
}

#[test]
fn a_delegated_cgroup_belongs_to_its_user() {
    use std::os::unix::fs::MetadataExt;
    let Some(host) = unified_view() else { return };
    let cgroup = Cgroup { owner: Some(4321), ..planned(&host, json!({})) };
    let running = Running::sleeping(&cgroup);
    let dir = running.cgroup.v2.as_ref().unwrap().dir();
    let owner = |file: &str| fs::metadata(dir.join(file)).unwrap().uid();
    assert_eq!((owner("."), owner("cgroup.procs"), owner("cgroup.subtree_control")), (4321, 4321, 4321));
    assert_eq!((owner("cgroup.kill"), owner("cgroup.freeze")), (0, 0), "not what delegation is about");
}

/// Cgroups nested deeper than a path can name, as a hostile container with a writable tree may leave them.
#[test]
fn depth_is_no_hiding_place() {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};
    let Some(host) = unified_view() else { return };
    let running = Running::sleeping(&planned(&host, json!({})));
    let mut dir: std::os::fd::OwnedFd = fs::File::open(running.cgroup.v2.as_ref().unwrap().dir()).unwrap().into();
    let name = "n".repeat(200);
    for _ in 0..40 {
        mkdirat(&dir, name.as_str(), Mode::S_IRWXU).unwrap();
        dir = openat(&dir, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let procs = openat(&dir, "cgroup.procs", OFlag::O_WRONLY, Mode::empty()).unwrap();
    nix::unistd::write(&procs, running.child.id().to_string().as_bytes()).unwrap();
    assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()]);
}

/// A container that has divided its cgroup: its own takes no process any more.
#[test]
fn a_new_process_goes_where_init_is() {
    let Some(host) = unified_view() else { return };
    let running = Running::sleeping(&planned(&host, json!({})));
    let dir = running.cgroup.v2.as_ref().unwrap().dir();
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap();
    let Some(controller) = controllers.split_whitespace().next() else { return skip("no controller to divide") };
    fs::create_dir(dir.join("init")).unwrap();
    fs::write(dir.join("init/cgroup.procs"), running.child.id().to_string()).unwrap();
    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    let mut second = Command::new("sleep").arg("60").spawn().unwrap();
    apply::enter(&running.cgroup, Some(running.child.id())).unwrap().add(second.id()).unwrap();
    let path = fs::read_to_string(format!("/proc/{}/cgroup", second.id())).unwrap();
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(path.lines().any(|line| line.starts_with("0::") && line.ends_with("/leaf/init")), "{path}");
}

/// The way in that `create` uses: cloned into the unified cgroup, and into the rest by its own hand.
#[test]
fn a_process_is_born_inside() {
    use zviz_sys::process::{Cloned, clone, exit};
    if !root() {
        return;
    }
    let created = apply::create(&planned(&host::probe().unwrap(), json!({}))).unwrap();
    let (mut wait, go) = std::io::pipe().unwrap();
    let Cloned::Parent { pid, pidfd } = clone(0, created.entrance.v2()).unwrap() else {
        // The child: only system calls.
        for tasks in created.entrance.v1_tasks() {
            if nix::unistd::write(tasks, b"0").is_err() {
                exit(1);
            }
        }
        drop(go);
        loop {
            nix::unistd::pause();
        }
    };
    drop(go);
    std::io::Read::read(&mut wait, &mut [0]).unwrap();
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let outside: Vec<&str> = lines.lines().filter(|l| !l.ends_with("/leaf")).collect();
    let named: Vec<_> = created.cgroup.v1.iter().flat_map(|g| &g.controllers).collect();
    let missed = outside.iter().filter(|l| named.iter().any(|c| l.contains(c.as_str()))).collect::<Vec<_>>();
    assert!(missed.is_empty(), "{missed:?}");
    apply::kill(&created.cgroup, Signal::SIGKILL).unwrap();
    zviz_sys::wait::wait(std::os::fd::AsFd::as_fd(&pidfd)).unwrap();
    apply::remove(&created.cgroup).unwrap();
    for group in created.cgroup.v1.iter().chain(&created.cgroup.v2) {
        match fs::remove_dir(group.dir().parent().unwrap()) {
            Err(e) if e.raw_os_error() != Some(Errno::ENOENT as i32) => panic!("{e}"),
            _ => {}
        }
    }
}
