//! What is written by a path that is the file's name.

use super::{HERE, Mode, Scene, at, both, read};
use nix::errno::Errno;
use nix::fcntl::{F_GETFL, fcntl};
use nix::sys::stat::{Mode as Permissions, umask};
use nix::unistd::mkfifo;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

const MAKE: i32 = libc::O_CREAT | libc::O_WRONLY;
const ANEW: i32 = MAKE | libc::O_TRUNC;

fn bits(path: &str) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// As the kernel does it: modes and umasks, flags, errnos, whose files, and what is there instead of one.
pub fn what_is_written_by_its_name_is_as_natively(test: &str) {
    let scene = Scene::new();
    let name = |name: &str| scene.path(name).to_str().unwrap().to_owned();
    let all = Permissions::from_bits_retain;
    both(test, scene.policy(), |mode| {
        let (new, file) = (name("open/new"), name("open/own"));
        let flags = |file: &fs::File| fcntl(file, F_GETFL).unwrap() & !0o100_000;
        for (mask, asked, made) in [(0o027, 0o666, 0o640), (0, 0o666, 0o666), (0o777, 0o777, 0), (0o022, 0o755, 0o755)]
        {
            umask(all(mask));
            at(HERE, &new, MAKE, asked).unwrap().write_all(b"made").unwrap();
            assert_eq!(bits(&new), made, "{mask:o} {asked:o}");
            fs::remove_file(&new).unwrap();
        }
        // What may not be written again may be by who makes it.
        at(HERE, &file, MAKE | libc::O_EXCL, 0o400).unwrap().write_all(b"once").unwrap();
        assert_eq!(at(HERE, &file, MAKE | libc::O_EXCL, 0o600).err(), Some(Errno::EEXIST));
        assert_eq!((read(&file), bits(&file)), (Ok("once".into()), 0o400));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        at(HERE, &file, libc::O_WRONLY | libc::O_APPEND, 0).unwrap().write_all(b" more").unwrap();
        at(HERE, &file, MAKE, 0o777).unwrap().write_all(b"ONCE").unwrap();
        assert_eq!((read(&file), bits(&file)), (Ok("ONCE more".into()), 0o640));
        at(HERE, &file, libc::O_RDWR | libc::O_TRUNC, 0).unwrap();
        assert_eq!(read(&file), Ok(String::new()));
        for asked in [libc::O_WRONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_APPEND, libc::O_RDWR | libc::O_NONBLOCK] {
            let made = if asked == libc::O_RDWR { libc::O_CREAT } else { 0 };
            assert_eq!(at(HERE, &file, asked | made, 0o600).map(|file| flags(&file)), Ok(asked), "{asked:#o}");
        }
        for (path, asked, errno) in [
            ("open/none", libc::O_WRONLY, Errno::ENOENT),
            ("open/none/new", MAKE, Errno::ENOENT),
            ("open/file/new", MAKE, Errno::ENOTDIR),
            ("open", libc::O_WRONLY, Errno::EISDIR),
            ("open", MAKE, Errno::EISDIR),
        ] {
            assert_eq!(at(HERE, &name(path), asked, 0o600).err(), Some(errno), "{path}");
        }
        // By links the way is another, also if they appear where none was.
        for path in ["open/link-to-own", "open/own-2"] {
            let _ = at(HERE, &name(path), ANEW, 0o600).unwrap();
            fs::remove_file(name(path)).unwrap();
            symlink("own", name(path)).unwrap();
            at(HERE, &name(path), ANEW, 0o600).unwrap().write_all(path.as_bytes()).unwrap();
            assert_eq!(read(&file), Ok(path.to_owned()));
            assert_eq!(at(HERE, &name(path), ANEW | libc::O_NOFOLLOW, 0).err(), Some(Errno::ELOOP));
            fs::remove_file(name(path)).unwrap();
        }
        // Nobody is at the other end, and who waits is not held for it.
        let fifo = name("open/end");
        mkfifo(fifo.as_str(), all(0o600)).unwrap();
        assert_eq!(at(HERE, &fifo, libc::O_WRONLY | libc::O_NONBLOCK, 0).err(), Some(Errno::ENXIO));
        fs::remove_file(&fifo).unwrap();
        // Rules about writing, and about all.
        let denied = |errno| (mode == Mode::Ruled).then_some(errno);
        assert_eq!(at(HERE, &name("open/deep/file"), MAKE, 0).err(), denied(Errno::EROFS));
        assert_eq!(at(HERE, &name("open/deep/made"), MAKE, 0o600).err(), denied(Errno::EROFS));
        assert_eq!(at(HERE, &name("secret/made"), MAKE, 0o600).err(), denied(Errno::EACCES));
        assert_eq!(fs::symlink_metadata(name("secret/made")).is_err(), mode == Mode::Ruled);
        for made in ["open/own", "open/deep/made", "secret/made"] {
            let _ = fs::remove_file(name(made));
        }
    });
}

/// In a directory that everybody writes and in which everybody keeps what is theirs, O_CREAT opens nobody else's file: a trap.
pub fn nobody_elses_file_is_written_for_a_new_one(test: &str) {
    let scene = Scene::new();
    let (shared, file) = (scene.path("open/shared"), scene.path("open/shared/file"));
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(&file, "theirs").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    chown(&file, Some(4711), Some(4711)).unwrap();
    let kept = fs::read_to_string("/proc/sys/fs/protected_regular").is_ok_and(|text| text.trim() != "0");
    both(test, scene.policy(), |_| {
        let file = file.to_str().unwrap();
        assert_eq!(at(HERE, file, MAKE, 0o600).err(), kept.then_some(Errno::EACCES));
        // The control: it may be written otherwise.
        assert_eq!(at(HERE, file, libc::O_WRONLY, 0).err(), None);
    });
}

/// A thread is called what it likes, which may end within a character: 15 bytes are kept.
pub fn whatever_a_thread_is_called_it_opens(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |_| {
        std::env::set_current_dir(scene.path("open")).unwrap();
        for name in [c"0123456789abcd\xc3", c"a\nUmask:\t0777\n", c"\xff) R 1"] {
            zviz_sys::ids::set_name(name).unwrap();
            umask(Permissions::from_bits_retain(0o027));
            for path in ["new", scene.path("open/new").to_str().unwrap()] {
                at(HERE, path, MAKE, 0o666).unwrap();
                assert_eq!(bits(path), 0o640, "{name:?} {path}");
                fs::remove_file(path).unwrap();
            }
            assert!(fs::read("/proc/self/stat").unwrap().starts_with(b"1 "));
            assert_eq!(at(HERE, "/dev/tty", libc::O_RDWR, 0).err(), Some(Errno::ENXIO));
        }
    });
}

/// What flock(1) does: the lock is gone when its caller has closed it, and so that nobody else still has it then.
pub fn a_lock_goes_with_its_callers_descriptor(test: &str) {
    let scene = Scene::new();
    let path = scene.path("open/file");
    both(test, scene.policy(), |_| {
        let other = fs::File::open(&path).unwrap();
        for _ in 0..200 {
            let lock = at(HERE, path.to_str().unwrap(), libc::O_CREAT | libc::O_NOCTTY, 0o666).unwrap();
            lock.lock().unwrap();
            drop(lock);
            other.try_lock().unwrap();
            other.unlock().unwrap();
        }
    });
}
