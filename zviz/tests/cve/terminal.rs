//! CVE-2025-52565: the terminal's places in the image are links: /dev/console, and what it is bound from.

use crate::naive::swapping;
use crate::support::{Bundle, bundle};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

/// A bundle with a terminal whose /dev is the image's.
fn with_terminal(name: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["sh", "-c", "busybox tty; busybox stat -c %t /dev/console"])?;
    bundle.edit(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    });
    fs::create_dir_all(bundle.rootfs("dev/pts")).unwrap();
    Some(bundle)
}

/// `create`, with somebody at the console socket; what it said if it was refused.
fn create(bundle: &Bundle) -> Result<(), String> {
    let socket = bundle.file("console");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let error = bundle.file("error");
    let mut create = bundle.command(&["create", "--bundle", bundle.path(), "--console-socket", &socket, &bundle.name]);
    let status = create.stdout(Stdio::null()).stderr(fs::File::create(&error).unwrap()).status().unwrap();
    drop(listener);
    if status.success() { Ok(()) } else { Err(fs::read_to_string(error).unwrap()) }
}

#[test]
fn cve_2025_52565_console() {
    let Some(bundle) = with_terminal("52565") else { return };
    create(&bundle).unwrap();
    let pid = bundle.state()["pid"].to_string();
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert!(mounts.contains(" /dev/console "), "control: {mounts}");
    bundle.ok(&["delete", "--force", &bundle.name]);

    fs::remove_file(bundle.rootfs("dev/console")).unwrap();
    symlink("/covered", bundle.rootfs("dev/console")).unwrap();
    fs::write(bundle.rootfs("covered"), "of the image").unwrap();
    fs::write(bundle.rootfs("pty"), "terminal").unwrap();
    let by_path = "chroot . /bin/busybox sh -c 'busybox mount -o bind /pty /dev/console; busybox cat /covered'";
    assert_eq!(bundle.naive(by_path), "terminal", "control: what the link leads to is covered");

    for target in ["/proc/sys/kernel/core_pattern", "/covered", "/target", "../../../target", "pts/0"] {
        let console = bundle.rootfs("dev/console");
        fs::remove_file(&console).unwrap();
        symlink(target, &console).unwrap();
        let error = create(&bundle).unwrap_err();
        assert!(error.contains("terminal") || error.contains("console"), "{target}: {error}");
        assert!(!bundle.rootfs("target").exists());
        bundle.leaves_nothing();
    }
}

/// /dev/pts is a folder of the image's, or a volume, with a ptmx of the attacker's.
#[test]
fn cve_2025_52565_pts() {
    let Some(bundle) = with_terminal("52565p") else { return };
    bundle.edit(|spec| spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts"));
    symlink("/proc/sysrq-trigger", bundle.rootfs("dev/pts/ptmx")).unwrap();
    symlink("/bait", bundle.rootfs("dev/pts/0")).unwrap();
    fs::write(bundle.rootfs("bait"), "bait").unwrap();
    fs::write(bundle.rootfs("dev/console"), "").unwrap();
    let by_path =
        "chroot . /bin/busybox sh -c 'busybox mount -o bind /dev/pts/0 /dev/console; busybox cat /dev/console'";
    assert_eq!(bundle.naive(by_path), "bait", "control: the link's target is the console");
    fs::remove_file(bundle.rootfs("dev/console")).unwrap();
    let error = create(&bundle).unwrap_err();
    assert!(error.contains("terminal") || error.contains("console"), "{error}");
    bundle.leaves_nothing();

    bundle.edit(|spec| {
        let devpts = json!({ "destination": "/dev/pts", "source": "devpts", "type": "devpts", "options": ["newinstance", "ptmxmode=0666"] });
        spec["mounts"].as_array_mut().unwrap().push(devpts);
    });
    create(&bundle).unwrap();
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

/// Takes a new terminal of the devpts, looks whether it is one, and binds it on the console by its path.
const NAIVE: &str = "mount --bind . .; cd .; mount -t devpts devpts dev/pts
    exec busybox chroot . /bin/busybox sh -c '
        for i in 1 2 3 4 5 6 7 8 9 10; do
            (busybox test -c /dev/pts/ptmx && exec 3<>/dev/pts/ptmx && busybox test -c /dev/pts/0 &&
                busybox mount -o bind /dev/pts/0 /dev/console && busybox test -s /dev/console &&
                busybox cat /dev/console)
            busybox umount /dev/console
        done; true' 2>/dev/null";

/// Another container, which shares /dev, exchanges /dev/pts for a folder with a link of the terminal's name in it.
#[test]
fn cve_2025_52565_race() {
    let Some(bundle) = with_terminal("52565r") else { return };
    let (pts, decoy) = (bundle.rootfs("dev/pts"), bundle.rootfs("dev/decoy"));
    fs::create_dir(&decoy).unwrap();
    symlink("/bait", decoy.join("0")).unwrap();
    fs::write(bundle.rootfs("bait"), "bait").unwrap();
    fs::write(bundle.rootfs("dev/console"), "").unwrap();
    let (consoles, errors) = swapping(&pts, &decoy, || {
        let won = (0..200).any(|_| bundle.naive(NAIVE).contains("bait"));
        assert!(won, "control: the race was never won");
        let (mut consoles, mut errors) = (Vec::new(), Vec::new());
        for _ in 0..25 {
            match create(&bundle) {
                Ok(()) => consoles.push(console(&bundle)),
                Err(error) => errors.push(error),
            }
            bundle.zviz(&["delete", "--force", &bundle.name]);
        }
        (consoles, errors)
    });
    assert!(!consoles.is_empty(), "the race left none through: {errors:?}");
    assert!(consoles.iter().all(|console| console == "/0 devpts"), "{consoles:?}");
    assert!(errors.iter().all(|error| error.contains("terminal") || error.contains("console")), "{errors:?}");
    assert_eq!(fs::read_to_string(bundle.rootfs("bait")).unwrap(), "bait");
    bundle.leaves_nothing();
}

/// What is bound on /dev/console, and of which kind of file system. proc_pid_mountinfo(5).
fn console(bundle: &Bundle) -> String {
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", bundle.state()["pid"])).unwrap();
    let line = mounts.lines().find(|line| line.contains(" /dev/console ")).unwrap_or_else(|| panic!("{mounts}"));
    let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next());
    // Nobody holds the terminal's master any more.
    let root = line.split(' ').nth(3).unwrap().trim_end_matches("//deleted");
    format!("{root} {}", kind.unwrap())
}
