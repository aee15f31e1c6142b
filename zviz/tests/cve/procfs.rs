//! /proc and /sys that are not what they seem: links, volumes over them, writes that arrive somewhere else.

use crate::naive::swapping;
use crate::support::{Bundle, bundle};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn bind(bundle: &Bundle, source: &str, destination: &str) {
    bundle.edit(|spec| {
        let mount = json!({ "destination": destination, "source": source, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// CVE-2023-27561, CVE-2023-28642: /proc or /sys is a link. The file system is mounted where it leads to; when it leads
/// elsewhere then, the masks go there, and so do labels (CVE-2019-19921).
#[test]
fn cve_2023_27561_and_28642() {
    for (name, kind, file) in [("proc", "proc", "timer_list"), ("sys", "sysfs", "kernel/uevent_seqnum")] {
        let Some(bundle) = bundle(&format!("link-{name}"), &["true"]) else { return };
        fs::create_dir(bundle.rootfs("elsewhere")).unwrap();
        write(&bundle.rootfs("decoy").join(file), "");
        symlink("elsewhere", bundle.rootfs(name)).unwrap();
        let seen = bundle.naive(&format!(
            "mount -t {kind} {kind} {name}; ln -sfn decoy {name}; mount --bind /dev/null {name}/{file}
             ln -sfn elsewhere {name}; head -c 1 {name}/{file} | wc -c"
        ));
        assert_eq!(seen, "1", "control: it is mounted elsewhere, and not masked there");

        bundle.refuses_to_run(&format!("/{name}"));
        assert_eq!(fs::read_dir(bundle.rootfs("elsewhere")).unwrap().count(), 0);
        fs::remove_file(bundle.rootfs(name)).unwrap();
        fs::create_dir(bundle.rootfs(name)).unwrap();
        assert_eq!(bundle.script(&format!("test -e /{name}/kernel || test -e /{name}/self && echo real")), "real\n");
        bundle.leaves_nothing();
    }
}

/// CVE-2019-16884, CVE-2019-19921: a volume over /proc, in which the image has files that take the runtime's writes: the
/// label is written, and the payload has none.
#[test]
fn cve_2019_16884_and_19921() {
    let Some(bundle) = bundle("16884", &["true"]) else { return };
    let fake = bundle.folder("fake");
    let exec = Path::new(&fake).join("self/attr/exec");
    write(&exec, "");
    fs::create_dir(bundle.rootfs("proc")).unwrap();
    bundle.naive("mount --bind ../fake proc; echo label >proc/self/attr/exec");
    assert_eq!(fs::read_to_string(&exec).unwrap(), "label\n", "control: a label written by path is lost");
    fs::write(&exec, "").unwrap();

    let config = fs::read(bundle.file("config.json")).unwrap();
    bind(&bundle, &fake, "/volume");
    assert_eq!(bundle.script("busybox ls /volume/self/attr"), "exec\n", "a volume elsewhere is fine");
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
    assert_eq!(fs::read_to_string(exec).unwrap(), "");
}

/// CVE-2019-19921 as it was found: /proc is a link into a volume, in which another container exchanges the folder that
/// proc is mounted on for one of decoys, so that the masks go there.
#[test]
fn cve_2019_19921_race() {
    let Some(bundle) = bundle("19921r", &["cat", "/proc/timer_list"]) else { return };
    let volume = bundle.folder("volume");
    let [one, two] = ["one", "two"].map(|name| Path::new(&volume).join(name));
    for folder in [&one, &two] {
        write(&folder.join("timer_list"), "");
    }
    fs::create_dir(bundle.rootfs("shared")).unwrap();
    symlink("shared/one", bundle.rootfs("proc")).unwrap();
    bundle.edit(|spec| {
        let mount = json!({ "destination": "/shared", "source": volume, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().insert(0, mount);
    });
    // What it shows is of the real file: the decoys are empty, and so is what masks.
    let naive = "mount --bind ../volume shared; mount -t proc proc proc
        for i in 1 2 3 4 5 6 7 8 9 10; do
            test -d proc/self && mount --bind /dev/null proc/timer_list && head -qc 1 shared/*/timer_list
            umount shared/*/timer_list || true
        done 2>/dev/null";
    assert_eq!(bundle.naive(naive), "", "left alone, the mask is where it belongs");
    let said = swapping(&one, &two, || {
        let won = (0..200).any(|_| !bundle.naive(naive).is_empty());
        assert!(won, "control: the race was never won");
        (0..25).map(|_| bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name])).collect::<Vec<_>>()
    });
    for output in said {
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("must be mounted on ordinary directory"), "{error}");
        assert!(output.stdout.is_empty());
    }
    bundle.leaves_nothing();
}

const KEY: &str = "net/ipv4/ip_unprivileged_port_start";

/// A bundle that sets a parameter, whose image has files of that name, and of a label's, that lead to a bait.
fn with_bait(name: &str, proc: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["true"])?;
    bundle.edit(|spec| spec["linux"]["sysctl"] = json!({ (KEY.replace('/', ".")): "777" }));
    fs::write(bundle.rootfs("bait"), "bait").unwrap();
    for file in [format!("sys/{KEY}"), "self/attr/exec".to_owned()] {
        let file = bundle.rootfs(proc).join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        symlink(bundle.rootfs("bait"), file).unwrap();
    }
    Some(bundle)
}

/// CVE-2025-52881: what is meant for one file of procfs arrives in another, or in a file of the image.
#[test]
fn cve_2025_52881() {
    let Some(bundle) = with_bait("52881", "proc") else { return };
    let bait = || fs::read_to_string(bundle.rootfs("bait")).unwrap();
    let host = fs::read_to_string(format!("/proc/sys/{KEY}")).unwrap();
    assert_ne!(host.trim(), "777");
    for (file, text) in [(format!("proc/sys/{KEY}"), "777"), ("proc/self/attr/exec".to_owned(), "label")] {
        bundle.naive(&format!("printf {text} >{file}"));
        assert_eq!(bait(), text, "control: written by path, it arrives in the bait");
    }
    fs::write(bundle.rootfs("bait"), "bait").unwrap();

    assert_eq!(bundle.script(&format!("cat /proc/sys/{KEY}")), "777\n");
    assert_eq!((bait().as_str(), fs::read_to_string(format!("/proc/sys/{KEY}")).unwrap()), ("bait", host));
    // Nor can anything of /proc/sys be covered by the time that it is written.
    let fake = bundle.folder("fake");
    bind(&bundle, &fake, "/proc/sys/net");
    bundle.refuses_to_run("/proc/sys/net");
}

/// The same as a race: another container exchanges /proc for a folder of baits while this one starts.
#[test]
fn cve_2025_52881_race() {
    let Some(bundle) = with_bait("52881r", "decoy") else { return };
    let bait = || fs::read_to_string(bundle.rootfs("bait")).unwrap();
    let check = format!("! test -e proc/sys || exit 0; printf 777 2>/dev/null >proc/sys/{KEY} || true");
    let won = |_: &u32| {
        // Looks first, and goes by the path then.
        bundle.naive(&format!("for i in 1 2 3 4 5 6 7 8 9 10; do ({check}); done"));
        bait() == "777"
    };
    fs::create_dir(bundle.rootfs("proc")).unwrap();
    let set = swapping(&bundle.rootfs("proc"), &bundle.rootfs("decoy"), || {
        assert!((0..200).any(|round| won(&round)), "control: the race was never won");
        fs::write(bundle.rootfs("bait"), "bait").unwrap();
        bundle.edit(|spec| spec["process"]["args"] = json!(["cat", format!("/proc/sys/{KEY}")]));
        let run = || bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
        (0..25).map(|_| run()).filter(|output| output.status.success()).map(|output| output.stdout).collect::<Vec<_>>()
    });
    assert_eq!(bait(), "bait");
    assert!(!set.is_empty() && set.iter().all(|text| text == b"777\n"), "{set:?}");
    bundle.leaves_nothing();
}
