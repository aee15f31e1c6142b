//! CVE-2025-31133: what covers a masked file is the image's own /dev/null, a link to what is to be read or written.

use crate::naive::swapping;
use crate::support::{Bundle, bundle};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

const MASKED: &str = "/proc/timer_list";

/// A bundle whose /dev is the image's, and a bait in the image.
fn with_dev(name: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["cat", MASKED])?;
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        spec["root"]["readonly"] = json!(false);
    });
    for folder in ["dev", "proc"] {
        fs::create_dir_all(bundle.rootfs(folder)).unwrap();
    }
    fs::write(bundle.rootfs("bait"), "bait").unwrap();
    Some(bundle)
}

/// Masks by path, inside of the root, after a look at what it masks with.
const NAIVE: &str = "mount --bind . .; cd .; busybox mount -t proc proc proc
    exec busybox chroot . /bin/busybox sh -c '
        for i in 1 2 3 4 5 6 7 8 9 10; do
            LOOK || continue
            busybox mount -o bind /dev/null /proc/timer_list && busybox cat /proc/timer_list
            busybox umount /proc/timer_list
        done'";

#[test]
fn cve_2025_31133() {
    let Some(bundle) = with_dev("31133") else { return };
    let shown = format!("busybox stat -c %t:%T {MASKED}; busybox wc -c <{MASKED}");
    assert_eq!(bundle.script(&shown), "1:3\n0\n");
    fs::remove_file(bundle.rootfs("dev/null")).unwrap();
    symlink("/bait", bundle.rootfs("dev/null")).unwrap();
    assert!(bundle.naive(&NAIVE.replace("LOOK", "true")).contains("bait"), "control: the bait covers the masked file");

    bundle.refuses_to_run("/dev/null");

    // Where no device is wanted of the image, the masks come all the same; and without them the file says something.
    fs::remove_file(bundle.rootfs("dev/null")).unwrap();
    assert_eq!(bundle.script(&shown), "1:3\n0\n");
    bundle.edit(|spec| spec["linux"]["maskedPaths"] = json!([]));
    let open = bundle.script(&shown);
    assert!(open.starts_with("0:0\n") && open != "0:0\n0\n", "control: {open}");
    bundle.leaves_nothing();
}

/// The link comes and goes while the container is made.
#[test]
fn cve_2025_31133_race() {
    let Some(bundle) = with_dev("31133r") else { return };
    let (null, link) = (bundle.rootfs("dev/null"), bundle.rootfs("dev/link"));
    mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    symlink("/bait", &link).unwrap();
    let said = swapping(&null, &link, || {
        let naive = NAIVE.replace("LOOK", "busybox test ! -L /dev/null");
        let won = (0..200).any(|_| bundle.naive(&naive).contains("bait"));
        assert!(won, "control: the race was never won");
        let run = |_| bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
        (0..40).map(run).collect::<Vec<_>>()
    });
    assert!(said.iter().any(|output| output.status.success()), "the race left none through");
    for output in &said {
        assert!(!output.status.success() || output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    bundle.leaves_nothing();
}
