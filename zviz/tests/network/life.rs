//! Rules come before the container's first step and go with it, whatever ends when.

use super::container::Container;
use super::internet::{Held, Internet, Space, wait_for};
use super::support::{copied, processes, requires, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PROFILE: &str = "network: {allow_cidrs: [203.0.113.10/32]}\n";

fn helper() -> PathBuf {
    Path::new(super::support::ZVIZ).with_file_name("zviz-net")
}

/// Nothing is left of the container: rules, processes, state.
#[track_caller]
fn is_gone(container: &Container, pod: &Space) {
    assert_eq!(pod.tables(), [""; 0], "{}", container.id);
    let list = run(&mut container.zviz(&["list", "-q"])).ok();
    assert!(!list.contains(&container.id), "{list}");
    assert_eq!(processes(&[&container.id]), [""; 0]);
}

#[test]
fn rules_go_with_their_container() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let container = Container::new(&internet, "life").joins(&pod).profile(PROFILE);
    container.creates();
    assert_eq!(pod.tables().len(), 1, "before start");
    container.deletes();
    is_gone(&container, &pod);
    container.starts();
    assert_eq!(pod.tables().len(), 1);
    run(&mut container.zviz(&["kill", &container.id, "KILL"])).ok();
    assert_eq!(pod.tables().len(), 1, "until it is deleted");
    container.deletes();
    is_gone(&container, &pod);
    // One that ends by itself, one whose program is not there.
    container.runs(&["/usr/bin/true"]).ok();
    is_gone(&container, &pod);
    assert_ne!(container.runs(&["/nowhere"]).code, 0);
    is_gone(&container, &pod);
    // Others' rules stay.
    pod.shell(&format!("{} add table inet others", super::internet::path_of("nft")));
    container.runs(&["/usr/bin/true"]).ok();
    assert_eq!(pod.tables(), ["others"]);
}

#[test]
fn rights_over_the_network_are_refused() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let keeping = format!("{PROFILE}capabilities: {{keep: [CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_NET_RAW]}}\n");
    for right in ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"] {
        // The control: without rules it may have it.
        let plain = Container::new(&internet, &format!("plain{right}")).joins(&pod).capabilities(&[right]);
        plain.runs(&["/usr/bin/true"]).ok();
        let container = Container::new(&internet, right).joins(&pod).capabilities(&[right]).profile(&keeping);
        let done = container.runs(&["/usr/bin/true"]).exits(1);
        assert!(done.err.contains(&format!("{right} could change or leave the network")), "{done}");
        is_gone(&container, &pod);
    }
    // Packet sockets are the filter's to refuse, and with it raw ones are held to the rules.
    let container = Container::new(&internet, "raw").joins(&pod).capabilities(&["CAP_NET_RAW"]).profile(&keeping);
    container.runs(&["/usr/bin/true"]).ok();
    is_gone(&container, &pod);
    container.starts();
    let done = run(&mut container.zviz(&["exec", "--cap", "CAP_NET_ADMIN", &container.id, "/usr/bin/true"]));
    assert!(done.code != 0 && done.err.contains("CAP_NET_ADMIN could change"), "{done}");
}

/// Who made the user namespace of a network has every right over it from outside, and needs no capability for that.
#[test]
fn rules_that_who_made_the_network_could_change_are_refused() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    // What root has made there is root's, as a container's is whose ids an engine maps.
    let made = Held::start(pod.command("unshare").args(["--user", "--map-root-user", "--net", "sleep", "1000"]));
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", made.pid());
    let outside = fs::read_link("/proc/self/ns/user").unwrap();
    wait_for("a user namespace", || {
        fs::read_link(path("user")).is_ok_and(|it| it != outside)
            && fs::read_link(path("net")).ok() != fs::read_link(pod.path()).ok()
    });
    let joins = |name: &str, kinds: &[(&str, &str)]| {
        let container = Container::new(&internet, name).capabilities(&[]);
        container.edit(|spec| {
            let list = spec["linux"]["namespaces"].as_array_mut().unwrap();
            list.retain(|one| kinds.iter().all(|(name, _)| one["type"] != *name));
            list.extend(kinds.iter().map(|(name, kind)| serde_json::json!({ "type": name, "path": path(kind) })));
            spec["linux"]["sysctl"] = serde_json::json!({});
            // Its terminals are of a group that is not mapped there.
            spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts");
        });
        container
    };
    let change = [super::internet::path_of("nft"), "add table inet changed".into()];
    let change: Vec<&str> = change.iter().map(String::as_str).collect();
    let (network, user) = (("network", "net"), ("user", "user"));
    // The control: where there are no rules, without a single capability.
    joins("plain", &[network]).runs(&change).ok();
    let held = joins("held", &[network]).profile(PROFILE);
    let done = held.runs(&change);
    assert!(done.code != 0 && done.err.contains("join that user namespace as well"), "{done}");
    is_gone(&held, &pod);
    // In there, it has what it holds: nothing.
    let done = joins("both", &[network, user]).profile(PROFILE).runs(&change);
    assert!(done.code != 0 && done.err.contains("Operation not permitted"), "{done}");
}

/// A copy of the binary, with this as its helper.
fn installed(internet: &Internet, name: &str, helper: Option<(&[u8], u32)>) -> PathBuf {
    let folder = internet.scratch.join(format!("bin-{name}"));
    fs::create_dir(&folder).unwrap();
    let binary = folder.join("zviz");
    copied(super::support::ZVIZ, &binary);
    if let Some((bytes, mode)) = helper {
        fs::write(folder.join("written"), bytes).unwrap();
        copied(folder.join("written"), folder.join("zviz-net"));
        fs::set_permissions(folder.join("zviz-net"), fs::Permissions::from_mode(mode)).unwrap();
    }
    binary
}

#[test]
fn no_helper_but_roots_own_is_run() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let good = fs::read(helper()).unwrap();
    let evil = b"#!/bin/sh\ntouch \"$0.ran\"\n".as_slice();
    let mut container = Container::new(&internet, "helper").joins(&pod).profile(PROFILE);
    for (name, helper, said) in [
        ("good", Some((good.as_slice(), 0o755)), ""),
        ("none", None, "zviz-net is not installed"),
        ("shared", Some((evil, 0o777)), "may be written by others"),
        ("group", Some((evil, 0o775)), "may be written by others"),
        ("broken", Some((b"#!/bin/sh\nexit 0\n".as_slice(), 0o755)), "zviz-net: "),
    ] {
        container.binary = installed(&internet, name, helper);
        let done = container.runs(&["/usr/bin/true"]);
        assert_eq!(done.code == 0, said.is_empty(), "{name}: {done}");
        assert!(done.err.contains(said), "{name}: {done}");
        assert!(!container.binary.with_file_name("zviz-net.ran").exists(), "{name}");
        if name == "broken" {
            // Whether it has done anything is not known, so that it is to be undone by one that works.
            container.binary = super::support::ZVIZ.into();
            run(&mut container.zviz(&["delete", "--force", &container.id])).ok();
        }
        is_gone(&container, &pod);
    }
    // Somebody else's, though nobody may write it.
    container.binary = installed(&internet, "foreign", Some((evil, 0o755)));
    std::os::unix::fs::chown(container.binary.with_file_name("zviz-net"), Some(65_534), None).unwrap();
    let done = container.runs(&["/usr/bin/true"]).exits(1);
    assert!(done.err.contains("belongs to user 65534"), "{done}");
}

#[test]
fn a_helper_that_is_killed_leaves_nothing() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let mut container = Container::new(&internet, "killed").joins(&pod).profile(PROFILE);
    let mut failed = 0;
    for milliseconds in [0, 1, 2, 3, 5, 8, 13, 21] {
        let script = format!("#!/bin/sh\n(sleep 0.{milliseconds:03}; kill -9 $$) &\nexec {}\n", helper().display());
        let name = format!("killed{milliseconds}");
        container.binary = installed(&internet, &name, Some((script.as_bytes(), 0o755)));
        let done = container.runs(&["/usr/bin/true"]);
        failed += u32::from(done.code != 0);
        container.binary = super::support::ZVIZ.into();
        if done.code != 0 {
            // What was done before it was killed is undone by who was told to.
            run(&mut container.zviz(&["delete", "--force", &container.id])).ok();
        }
        is_gone(&container, &pod);
    }
    assert!(failed > 0, "none was killed in time");
}

#[test]
fn a_runtime_that_is_killed_leaves_what_delete_takes_away() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let container = Container::new(&internet, "dead").joins(&pod).profile(PROFILE);
    container.runs(&["/usr/bin/true"]).ok();
    for milliseconds in (4..60).step_by(4) {
        let words = ["create", "--bundle", &internet.scratch.join("dead").to_string_lossy(), &container.id].join(" ");
        let zviz = format!("{:?}", container.zviz(&[]));
        let mut killed = internet.host.command("timeout");
        killed.args(["-s", "KILL", &format!("0.{milliseconds:03}"), "sh", "-c", &format!("exec {zviz} {words}")]);
        killed.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let _ = killed.stderr(std::process::Stdio::null()).status().unwrap();
        run(&mut container.zviz(&["delete", "--force", &container.id])).ok();
        is_gone(&container, &pod);
    }
}
