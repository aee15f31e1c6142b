//! /proc and /sys that are not what they seem: links, volumes over them, masks that lead elsewhere, writes that arrive
//! somewhere else.

use crate::support::{Bundle, bundle};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

fn bind(bundle: &Bundle, source: &str, destination: &str) {
    bundle.edit(|spec| {
        let mount = json!({ "destination": destination, "source": source, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc or /sys is a link, so that masks and labels go elsewhere.
#[test]
fn cve_2023_27561_and_28642() {
    for name in ["proc", "sys"] {
        let Some(bundle) = bundle(&format!("link-{name}"), &["true"]) else { return };
        fs::create_dir(bundle.rootfs("elsewhere")).unwrap();
        symlink("elsewhere", bundle.rootfs(name)).unwrap();
        bundle.refuses_to_run(&format!("/{name}"));
        assert_eq!(fs::read_dir(bundle.rootfs("elsewhere")).unwrap().count(), 0);
        fs::remove_file(bundle.rootfs(name)).unwrap();
        fs::create_dir(bundle.rootfs(name)).unwrap();
        assert_eq!(bundle.script(&format!("test -e /{name}/kernel || test -e /{name}/self && echo real")), "real\n");
        bundle.leaves_nothing();
    }
}

/// CVE-2019-16884: a volume over /proc, in which the image has files that take the runtime's writes.
#[test]
fn cve_2019_16884() {
    let Some(bundle) = bundle("16884", &["true"]) else { return };
    let fake = bundle.folder("fake");
    fs::create_dir_all(format!("{fake}/self/attr")).unwrap();
    fs::write(format!("{fake}/self/attr/exec"), "").unwrap();
    let config = fs::read(bundle.file("config.json")).unwrap();
    bind(&bundle, &fake, "/volume");
    assert_eq!(bundle.script("busybox ls /volume/self/attr"), "exec\n", "control: a volume elsewhere is fine");
    for place in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys/kernel", "/../proc/./self"] {
        fs::write(bundle.file("config.json"), &config).unwrap();
        bind(&bundle, &fake, place);
        bundle.refuses_to_run("/proc");
    }
    // By way of a link of the image.
    for (link, target) in [("data", "/proc/self/attr"), ("more", "../proc/sys/net"), ("whole", "proc")] {
        fs::write(bundle.file("config.json"), &config).unwrap();
        symlink(target, bundle.rootfs(link)).unwrap();
        bind(&bundle, &fake, &format!("/{link}"));
        bundle.refuses_to_run(&format!("/{link}"));
    }
    assert_eq!(fs::read(format!("{fake}/self/attr/exec")).unwrap(), b"");
}

/// CVE-2025-31133: what covers a masked file is the image's own /dev/null, a link to what is to be opened for writing.
#[test]
fn cve_2025_31133() {
    let Some(bundle) = bundle("31133", &["true"]) else { return };
    let masked = "busybox stat -c %t:%T /proc/timer_list; busybox wc -c </proc/timer_list";
    assert_eq!(bundle.script(masked), "1:3\n0\n");
    let without_dev = |spec: &mut Value| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    };
    bundle.edit(without_dev);
    fs::create_dir_all(bundle.rootfs("dev")).unwrap();
    symlink("/proc/sys/kernel/core_pattern", bundle.rootfs("dev/null")).unwrap();
    let output = bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("/dev/null"), "{error}");

    // A race would put the link there after the devices are made; where none are wanted, the masks come all the same.
    fs::remove_file(bundle.rootfs("dev/null")).unwrap();
    assert_eq!(bundle.script(masked), "1:3\n0\n");
    bundle.edit(|spec| spec["linux"]["maskedPaths"] = json!([]));
    let open = bundle.script(masked);
    assert!(open.starts_with("0:0\n") && open != "0:0\n0\n", "control: {open}");
    bundle.leaves_nothing();
}

/// CVE-2025-52881: what is meant for one file of procfs arrives in another, or in a file of the image.
#[test]
fn cve_2025_52881() {
    let Some(bundle) = bundle("52881", &["true"]) else { return };
    let key = "net/ipv4/ip_unprivileged_port_start";
    bundle.edit(|spec| spec["linux"]["sysctl"] = json!({ (key.replace('/', ".")): "777" }));
    let parent = bundle.rootfs("proc/sys/net/ipv4");
    fs::create_dir_all(&parent).unwrap();
    fs::write(bundle.rootfs(&format!("proc/sys/{key}")), "bait").unwrap();
    fs::create_dir_all(bundle.rootfs("proc/self/attr")).unwrap();
    symlink("/proc/sysrq-trigger", bundle.rootfs("proc/self/attr/exec")).unwrap();
    let host = fs::read_to_string(format!("/proc/sys/{key}")).unwrap();
    assert_ne!(host.trim(), "777", "control");
    assert_eq!(bundle.script(&format!("cat /proc/sys/{key}")), "777\n");
    assert_eq!(fs::read_to_string(bundle.rootfs(&format!("proc/sys/{key}"))).unwrap(), "bait");
    assert_eq!(fs::read_to_string(format!("/proc/sys/{key}")).unwrap(), host);
    // Nor can anything of /proc/sys be covered by the time that it is written.
    let fake = bundle.folder("fake");
    bind(&bundle, &fake, "/proc/sys/net");
    bundle.refuses_to_run("/proc/sys/net");
}
