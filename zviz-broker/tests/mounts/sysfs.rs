//! Sysfs is read-only, whoever asks.

use super::runner::needs;
use super::stage;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zviz_broker::policy::{Mounts, Policy};

const NONE: Option<&str> = None;
const REMOUNT: MsFlags = MsFlags::MS_REMOUNT;
const BIND: MsFlags = MsFlags::MS_BIND;

fn writable(path: &Path) -> bool {
    !statvfs(path).unwrap().flags().contains(FsFlags::ST_RDONLY)
}

/// Somebody with a network namespace, and so a sysfs, of his own cannot write to it: by changing the mount, the file system
/// behind it, a mount of a part of it, by a path or a descriptor, nor by a link that leads elsewhere when it is followed again.
pub fn no_sysfs_becomes_writable(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (whole, part, file, other) = (at("whole"), at("part"), at("file"), at("other"));
    ["whole", "part", "other", "first"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    File::create(&file).unwrap();
    // One that is writable is there: what the mounts below are of.
    let prepare = || mount(NONE, &at("first"), Some("sysfs"), MsFlags::empty(), NONE).unwrap();
    let changed = |path: &Path, flags| mount(NONE, path, NONE, REMOUNT | flags, NONE);
    let ways: [(&str, &Path, MsFlags); 4] = [
        ("the file system", &whole, MsFlags::empty()),
        ("the mount", &whole, BIND),
        ("a part of it", &part, BIND),
        ("a file of it", &file, BIND),
    ];
    let scene = || {
        mount(NONE, &whole, Some("sysfs"), MsFlags::MS_RDONLY, NONE).unwrap();
        for (source, target) in [(whole.join("class"), &part), (whole.join("class/net/lo/mtu"), &file)] {
            mount(Some(&source), target, NONE, BIND, NONE).unwrap();
            changed(target, BIND | MsFlags::MS_RDONLY).unwrap();
        }
        mount(NONE, &other, Some("tmpfs"), MsFlags::empty(), NONE).unwrap();
    };
    let control = stage::run(None, prepare, || {
        scene();
        for (what, path, flags) in ways {
            assert!(!writable(path), "{what}");
            let done = changed(path, flags);
            // The file system behind it is the host's, whoever's network it shows.
            assert_eq!(done.err(), flags.is_empty().then_some(Errno::EPERM), "{what}");
            assert_eq!(writable(path), !flags.is_empty(), "{what}");
            changed(path, BIND | MsFlags::MS_RDONLY).unwrap();
        }
    });
    if control != Some(0) {
        return needs::skip(test, "no sysfs can be made writable here at all");
    }
    let policy = Policy { mounts: Some(Mounts::default()), ..Policy::default() };
    let ended = stage::run(Some(policy), prepare, || {
        scene();
        for (what, path, flags) in ways {
            let opened = File::open(path).unwrap();
            let by_descriptor = format!("/proc/self/fd/{}", opened.as_raw_fd());
            for path in [path, Path::new(&by_descriptor)] {
                assert_eq!(changed(path, flags).err(), Some(Errno::EPERM), "{what}: {}", path.display());
                assert!(!writable(path), "{what}");
            }
            // What takes rights away is done.
            changed(path, BIND | MsFlags::MS_RDONLY | MsFlags::MS_NODEV).unwrap();
        }
        assert_eq!(changed(&other, BIND).err(), None, "the control: others may be changed");
        let (link, done) = (at("link"), AtomicBool::new(false));
        let places = [&whole, &other];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for place in places.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                    let _ = fs::remove_file(at("new"));
                    symlink(place, at("new")).unwrap();
                    fs::rename(at("new"), &link).unwrap();
                }
            });
            let (mut results, end) = (Vec::new(), Instant::now() + Duration::from_secs(20));
            let both = [None, Some(Errno::EPERM)];
            // On a busy machine nothing may change for a while.
            while results.len() < 1000 || !both.iter().all(|seen| results.contains(seen)) && Instant::now() < end {
                results.push(changed(&link, BIND).err());
            }
            done.store(true, Ordering::Relaxed);
            for seen in both {
                assert!(results.contains(&seen), "the control: {seen:?} never happened");
            }
        });
        assert!(!writable(&whole));
    });
    assert_eq!(ended, Some(0), "{test}");
}
