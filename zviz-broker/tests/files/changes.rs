//! Changing files other than by opening them: a rule that says what may not be written holds for its removal, its length and
//! its mode, and for what is made in its place.

use super::{HERE, Mode, Scene, at, both, read};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{FchmodatFlags, Mode as Bits, SFlag, fchmod, fchmodat, mkdirat, mknod, umask};
use nix::unistd::{UnlinkatFlags, mkdir, mkfifo, truncate, unlink, unlinkat};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RW: Bits = Bits::from_bits_truncate(0o600);
const ALL: Bits = Bits::from_bits_truncate(0o777);

fn bits(name: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(name).unwrap().permissions().mode() & 0o7777
}

/// Nothing that may not be written is removed, cut, made or given a mode, by whatever path or descriptor.
pub fn no_rule_is_escaped_by_a_change(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |mode| {
        let ruled = mode == Mode::Ruled;
        let refused = |errno: Errno| ruled.then_some(errno);
        std::env::set_current_dir(scene.path("open")).unwrap();
        let whole = || fs::write("../secret/file", "secret/file").err();
        let ways = |name: &str| {
            let base = scene.base.display();
            [
                format!("../secret/{name}"),
                format!("directory/{name}"),
                format!("/proc/self/cwd/../secret/{name}"),
                format!("/proc/self/root{base}/secret/{name}"),
            ]
        };
        for path in ways("file") {
            let path = path.as_str();
            assert_eq!(truncate(path, 3).err(), refused(Errno::EACCES), "{path}");
            assert_eq!(fs::metadata("../secret/file").unwrap().len(), if ruled { 11 } else { 3 }, "{path}");
            for bit in [0o755, 0o600] {
                let bit = Bits::from_bits_truncate(bit);
                let changed = fchmodat(HERE, path, bit, FchmodatFlags::FollowSymlink);
                assert_eq!(changed.err(), refused(Errno::EACCES), "{path}");
                assert_eq!(bits("../secret/file") == bit.bits(), !ruled, "{path}");
            }
            assert_eq!(unlink(path).err(), refused(Errno::EACCES), "{path}");
            assert_eq!(Path::new("../secret/file").exists(), ruled, "{path}");
            assert!(ruled || whole().is_none());
        }
        for path in ways("planted") {
            let path = path.as_str();
            let gone = || fs::symlink_metadata("../secret/planted").is_err();
            assert_eq!(mkdir(path, ALL).err(), refused(Errno::EACCES), "{path}");
            assert_eq!(gone(), ruled, "{path}");
            let _ = fs::remove_dir("../secret/planted");
            for kind in [SFlag::S_IFREG, SFlag::S_IFIFO, SFlag::S_IFSOCK] {
                assert_eq!(mknod(path, kind, RW, 0).err(), refused(Errno::EACCES), "{path} {kind:?}");
                assert_eq!(gone(), ruled, "{path}");
                let _ = unlink("../secret/planted");
            }
        }
        // A folder with nothing in it, by its descriptor too.
        assert_eq!(fs::create_dir("../secret/deep/empty").err().is_some(), ruled);
        let secret = at(HERE, "../secret/deep", libc::O_PATH, 0).unwrap();
        let removed = unlinkat(&secret, "empty", UnlinkatFlags::RemoveDir);
        assert_eq!(removed.err(), refused(Errno::ENOENT));
        assert_eq!(unlinkat(&secret, "file", UnlinkatFlags::NoRemoveDir).err(), refused(Errno::EACCES));
        assert!(ruled || fs::write("../secret/deep/file", "").is_ok());
        assert_eq!(mkdirat(&secret, "planted", ALL).err(), refused(Errno::EACCES));
        assert!(ruled || fs::remove_dir("../secret/deep/planted").is_ok());
        // What may be read and not written: by a descriptor that reads, and by its number.
        let reads = at(HERE, "deep/file", libc::O_RDONLY, 0).unwrap();
        assert_eq!(fchmod(&reads, ALL).err(), refused(Errno::EROFS));
        let number = format!("/proc/self/fd/{}", reads.as_raw_fd());
        let changed = fchmodat(HERE, number.as_str(), ALL, FchmodatFlags::FollowSymlink);
        assert_eq!(changed.err(), refused(Errno::EROFS));
        assert_eq!(bits("deep/file") == 0o777, !ruled);
        assert_eq!(truncate(number.as_str(), 0).err(), refused(Errno::EROFS));
        assert_eq!(read("deep/file").unwrap().is_empty(), !ruled);
        assert_eq!(unlink("deep/file").err(), refused(Errno::EROFS));
        assert!(ruled || fs::write("deep/file", "open/deep/file").is_ok());
        race(ruled);
    });
}

/// Somebody changes what a path leads to all the time.
fn race(ruled: bool) {
    let done = AtomicBool::new(false);
    let (mut removed, mut taken) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for to in ["../secret", "."].iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let _ = unlink("door");
                let _ = symlink(to, "door");
            }
        });
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            if truncate("door/file", 4).is_ok() {
                removed += 1;
                taken += usize::from(fs::metadata("../secret/file").unwrap().len() == 4);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let _ = unlink("door");
    assert!(removed > 0, "the control");
    assert!(!ruled || taken == 0, "{taken} of {removed}");
    let _ = fs::write("file", "open/file");
    assert!(ruled || fs::write("../secret/file", "secret/file").is_ok());
}

/// What no rule forbids is done, and fails, as it is natively.
pub fn changes_are_made_as_natively(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |_| {
        std::env::set_current_dir(scene.path("open")).unwrap();
        umask(Bits::from_bits_truncate(0o027));
        mkdir("made", Bits::from_bits_truncate(0o6777)).unwrap();
        assert_eq!(bits("made"), 0o750);
        mkfifo("made/fifo", Bits::from_bits_truncate(0o666)).unwrap();
        mknod("made/plain", SFlag::empty(), Bits::from_bits_truncate(0o4666), 0).unwrap();
        assert_eq!((bits("made/fifo"), bits("made/plain")), (0o640, 0o4640));
        assert!(fs::metadata("made/plain").unwrap().is_file());
        umask(Bits::empty());
        mkdir("made/open/", ALL).unwrap();
        assert_eq!(bits("made/open"), 0o777);
        let made = at(HERE, "made", libc::O_RDONLY, 0).unwrap();
        fchmod(&made, Bits::from_bits_truncate(0o2755)).unwrap();
        assert_eq!(bits("made"), 0o2755);
        let nothing = at(HERE, "made", libc::O_PATH, 0).unwrap();
        assert_eq!(fchmod(&nothing, ALL), Err(Errno::EBADF));
        // Of a file without a name, and of a pipe.
        let nameless = at(HERE, ".", libc::O_TMPFILE | libc::O_RDWR, 0o600).unwrap();
        fchmod(&nameless, ALL).unwrap();
        assert_eq!(nameless.metadata().unwrap().permissions().mode() & 0o777, 0o777);
        fchmod(std::io::pipe().unwrap().0, RW).unwrap();
        truncate("link-to-made", 0).unwrap_err();
        symlink("made/plain", "to-plain").unwrap();
        truncate("to-plain", 5).unwrap();
        assert_eq!(read("made/plain"), Ok("\0".repeat(5)));
        fs::set_permissions("to-plain", fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!((bits("made/plain"), bits("to-plain")), (0o640, 0o777));
        for (path, errno) in [
            ("none", Errno::ENOENT),
            ("made", Errno::EISDIR),
            ("made/fifo", Errno::EINVAL),
            ("file/x", Errno::ENOTDIR),
            ("", Errno::ENOENT),
        ] {
            assert_eq!(truncate(path, 0), Err(errno), "truncate {path}");
        }
        assert_eq!(truncate("file", -1), Err(Errno::EINVAL));
        for (path, file, folder) in [
            ("none", Errno::ENOENT, Errno::ENOENT),
            ("none/x", Errno::ENOENT, Errno::ENOENT),
            ("none/", Errno::ENOENT, Errno::ENOENT),
            ("file/x", Errno::ENOTDIR, Errno::ENOTDIR),
            ("made", Errno::EISDIR, Errno::ENOTEMPTY),
            ("made/.", Errno::EISDIR, Errno::EINVAL),
            ("made/..", Errno::EISDIR, Errno::ENOTEMPTY),
            ("file/", Errno::ENOTDIR, Errno::ENOTDIR),
            ("/", Errno::EISDIR, Errno::EBUSY),
            ("", Errno::ENOENT, Errno::ENOENT),
            ("/proc/self/comm", Errno::EPERM, Errno::EPERM),
        ] {
            assert_eq!(unlink(path), Err(file), "unlink {path}");
            assert_eq!(unlinkat(HERE, path, UnlinkatFlags::RemoveDir), Err(folder), "rmdir {path}");
        }
        for (path, errno) in [
            ("made", Errno::EEXIST),
            ("made/", Errno::EEXIST),
            (".", Errno::EEXIST),
            ("/", Errno::EEXIST),
            ("to-plain", Errno::EEXIST),
            ("none/x", Errno::ENOENT),
            ("file/x", Errno::ENOTDIR),
        ] {
            assert_eq!(mkdir(path, ALL), Err(errno), "mkdir {path}");
            assert_eq!(mkfifo(path, ALL), Err(errno), "mkfifo {path}");
        }
        assert_eq!(mkfifo("new/", ALL), Err(Errno::ENOENT));
        // A file is not made longer than the caller's files may be.
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
        zviz_sys::signals::interrupt_by(libc::SIGXFSZ).unwrap();
        assert_eq!(truncate("to-plain", 2 << 20), Err(Errno::EFBIG));
        truncate("to-plain", 1 << 20).unwrap();
        unlink("to-plain").unwrap();
        assert_eq!(linked(), 1, "only the link is gone");
        fs::remove_dir_all("made").unwrap();
    });
}

fn linked() -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("made/plain").unwrap().nlink()
}
