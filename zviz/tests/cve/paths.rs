//! Places in the root that the image, or another container, has made links of: nothing may be made or mounted outside.

use crate::support::{Bundle, bundle};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder of the host's that links of the image lead to. What a runtime does that follows them: see `control`.
fn outside(bundle: &Bundle) -> String {
    let outside = bundle.folder("outside");
    symlink(&outside, bundle.rootfs("link")).unwrap();
    outside
}

fn is_empty(folder: &str) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Making the place by its path on the host ends outside.
fn control(bundle: &Bundle, place: &str, outside: &str) {
    fs::create_dir_all(bundle.rootfs(place)).unwrap();
    assert!(!is_empty(outside), "control");
    fs::remove_dir_all(outside).unwrap();
    fs::create_dir(outside).unwrap();
}

fn mount(bundle: &Bundle, destination: &str) {
    bundle.edit(|spec| {
        let mount = json!({ "destination": destination, "source": "tmpfs", "type": "tmpfs" });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
}

/// CVE-2024-45310: folders and files made on the way to a mount. And so for devices (CVE-2026-41579), links, the
/// working directory.
#[test]
fn cve_2024_45310() {
    let Some(bundle) = bundle("45310", &["true"]) else { return };
    let outside = outside(&bundle);
    control(&bundle, "link/a/b", &outside);
    let file = bundle.file("file");
    fs::write(&file, "text").unwrap();
    mount(&bundle, "/link/a/b");
    bundle.edit(|spec| {
        let mount = json!({ "destination": "/link/file", "source": file, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
        spec["process"]["cwd"] = json!("/link/cwd");
        spec["linux"]["devices"] =
            json!([{ "path": "/link/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666 }]);
        spec["root"]["readonly"] = json!(false);
    });
    assert_eq!(bundle.script("pwd; cat /link/file; test -c /link/dev/zero && echo made").lines().count(), 2);
    assert!(is_empty(&outside));
    let inside = bundle.rootfs(outside.trim_start_matches('/'));
    assert!(inside.join("a/b").is_dir() && inside.join("cwd").is_dir(), "they are made inside");
    bundle.leaves_nothing();
}

/// CVE-2026-41579 of runc, CVE-2026-47766 of crun: /dev itself is a link.
#[test]
fn dev_is_a_link() {
    let Some(bundle) = bundle("dev", &["true"]) else { return };
    let outside = outside(&bundle);
    fs::rename(bundle.rootfs("link"), bundle.rootfs("dev")).unwrap();
    control(&bundle, "dev/null", &outside);
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
    assert!(is_empty(&outside));
    bundle.leaves_nothing();
}

/// CVE-2021-30465: a volume that two containers share; while a mount inside it is made for one of them, the other swaps
/// a folder on the way for a link to the host's root, over and over.
#[test]
fn cve_2021_30465() {
    let Some(bundle) = bundle("30465", &["true"]) else { return };
    let (outside, volume) = (outside(&bundle), bundle.folder("volume"));
    let (way, link) = (format!("{volume}/way"), format!("{volume}/link"));
    fs::create_dir(&way).unwrap();
    symlink(&outside, &link).unwrap();
    bundle.edit(|spec| {
        let mount = json!({ "destination": "/volume", "source": volume, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    mount(&bundle, "/volume/way/a/b");

    let swap = || {
        let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
        nix::fcntl::renameat2(nix::fcntl::AT_FDCWD, way.as_str(), nix::fcntl::AT_FDCWD, link.as_str(), flags).unwrap();
    };
    let done = AtomicBool::new(false);
    let (mut naive, mut tries) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap();
            }
        });
        for _ in 0..25 {
            bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
            tries += usize::from(!is_empty(&outside));
            // What a runtime does that looks first and goes by the path then.
            for _ in 0..200 {
                let place = Path::new(&volume).join("way/naive");
                if Path::new(&way).symlink_metadata().unwrap().is_dir() && fs::create_dir_all(&place).is_ok() {
                    naive += usize::from(fs::remove_dir(Path::new(&outside).join("naive")).is_ok());
                    let _ = fs::remove_dir(&place);
                }
            }
            let _ = fs::remove_dir(Path::new(&outside).join("naive"));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(tries, 0, "something was made outside");
    assert!(naive > 0, "control: the race was never won");
    bundle.leaves_nothing();
}

/// The source of a bind is looked up once; a link of the image as a mount's place stays in the image.
#[test]
fn a_mount_on_a_link_stays_inside() {
    let Some(bundle) = bundle("place", &["true"]) else { return };
    let outside = outside(&bundle);
    fs::write(format!("{outside}/host"), "of the host").unwrap();
    assert!(bundle.rootfs("link/host").exists(), "control: outside, the link leads out");
    mount(&bundle, "/link");
    assert_eq!(bundle.script("cat /link/host; cat /proc/mounts | busybox grep -c ' /tmp/.*/outside '"), {
        "cat: can't open '/link/host': No such file or directory\n1\n"
    });
    assert!(Path::new(&outside).join("host").exists());
    bundle.leaves_nothing();
}
