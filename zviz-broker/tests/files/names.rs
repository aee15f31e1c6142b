//! Other names for files: a rule about a name holds for who would give the file another.

use super::{HERE, Mode, Scene, at, both, read};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::unistd::{linkat, unlink};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends the other thread, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn errno(result: std::io::Result<()>) -> Option<Errno> {
    result.err().map(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

fn rename(old: impl AsRef<Path>, new: impl AsRef<Path>) -> Option<Errno> {
    errno(fs::rename(old, new))
}

fn link(old: impl AsRef<Path>, new: impl AsRef<Path>) -> Option<Errno> {
    errno(fs::hard_link(old, new))
}

/// No name is got for a file that may not be opened, by a rename, a link, an exchange or a directory that is moved, by whatever
/// path or descriptor; nor does a file get a name that may not be written.
pub fn no_rule_is_escaped_by_another_name(test: &str) {
    let scene = Scene::new();
    fs::create_dir_all(scene.path("box/inner")).unwrap();
    both(test, scene.policy(), |mode| {
        let ruled = mode == Mode::Ruled;
        let refused = |errno: Errno| ruled.then_some(errno);
        std::env::set_current_dir(scene.path("open")).unwrap();
        // Each is undone where it was done.
        let moved = |old: &str, new: &str, why: Errno| {
            let done = rename(old, new);
            assert_eq!(done, refused(why), "{old} to {new}");
            assert_eq!(Path::new(new).symlink_metadata().is_err(), ruled, "{new}");
            if done.is_none() {
                fs::rename(new, old).unwrap();
            }
        };
        for old in ["../secret/file", "directory/file", "/proc/self/cwd/../secret/file", "../secret/deep"] {
            moved(old, "taken", Errno::EACCES);
        }
        moved("file", "../secret/planted", Errno::EACCES);
        moved("file", "deep/planted", Errno::EROFS);
        moved("../secret", "taken", Errno::EPERM);
        moved("../secret/", "taken", Errno::EPERM);
        // What is in a directory that is moved has other names then.
        let away = scene.base.with_extension("moved");
        moved(scene.base.to_str().unwrap(), away.to_str().unwrap(), Errno::EPERM);
        moved("deep", "deeper", Errno::EPERM);
        for old in ["../secret/file", "directory/file", "/proc/thread-self/root/../proc/self/cwd/../secret/file"] {
            assert_eq!(link(old, "taken"), refused(Errno::EACCES), "{old}");
            let _ = fs::remove_file("taken");
        }
        assert_eq!(link("file", "../secret/planted"), refused(Errno::EACCES));
        let _ = fs::remove_file("../secret/planted");
        let file = at(HERE, "../secret/file", libc::O_PATH, 0).unwrap();
        let directory = at(HERE, "../secret", libc::O_PATH, 0).unwrap();
        let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        for (from, old, flags) in [
            (HERE, by_number.as_str(), follow),
            (HERE, "link", follow),
            (HERE, "link-to-link", follow),
            (std::os::fd::AsFd::as_fd(&file), "", AtFlags::AT_EMPTY_PATH),
            (std::os::fd::AsFd::as_fd(&directory), "file", AtFlags::empty()),
        ] {
            assert_eq!(linkat(from, old, HERE, "taken", flags).err(), refused(Errno::EACCES), "{old}");
            assert_eq!(read("taken"), if ruled { Err(Errno::ENOENT) } else { Ok("secret/file".into()) }, "{old}");
            let _ = fs::remove_file("taken");
        }
        let exchange = || renameat2(HERE, "file", &directory, "file", RenameFlags::RENAME_EXCHANGE);
        assert_eq!(exchange().err(), refused(Errno::EACCES));
        if !ruled {
            exchange().unwrap();
        }
        let exchange = || renameat2(HERE, "../box", HERE, "deep", RenameFlags::RENAME_EXCHANGE);
        assert_eq!(exchange().err(), refused(Errno::EPERM));
        if !ruled {
            exchange().unwrap();
        }
        // A link is not what it leads to.
        linkat(HERE, "link", HERE, "link-too", AtFlags::empty()).unwrap();
        assert_eq!(read("link-too"), if ruled { Err(Errno::EACCES) } else { Ok("secret/file".into()) });
        unlink("link-too").unwrap();
        // Somebody changes what a path leads to all the time.
        let done = AtomicBool::new(false);
        let (mut taken, until) = (0, Instant::now() + Duration::from_millis(500));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for to in ["../secret", "."].iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                    let _ = unlink("door");
                    symlink(to, "door").unwrap();
                }
            });
            let _end = End(&done);
            while Instant::now() < until {
                for found in [rename("door/file", "taken"), link("door/file", "taken")] {
                    if found.is_some() {
                        continue;
                    }
                    let what = read("taken").unwrap();
                    assert!(!ruled || what == "open/file", "{what}");
                    taken += 1;
                    // Back to where it was, which for a second name is nothing to do, and it stays.
                    fs::rename("taken", if what == "open/file" { "file" } else { "../secret/file" }).unwrap();
                    let _ = unlink("taken");
                }
            }
        });
        unlink("door").unwrap();
        assert!(taken > 0, "the control");
        assert_eq!(read("file"), Ok("open/file".into()));
    });
}

/// What no rule forbids is done, and fails, as it is natively.
pub fn names_are_given_as_natively(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |_| {
        std::env::set_current_dir(scene.path("open")).unwrap();
        fs::create_dir_all("folder/inner").unwrap();
        assert_eq!(rename("file", "other"), None);
        assert_eq!(rename("/proc/self/cwd/other", "folder/file"), None);
        assert_eq!(rename("folder/", "moved/"), None);
        assert_eq!(read("moved/file"), Ok("open/file".into()));
        let moved = at(HERE, "moved", libc::O_PATH, 0).unwrap();
        renameat2(&moved, "file", HERE, "file", RenameFlags::RENAME_NOREPLACE).unwrap();
        assert_eq!(link("file", "moved/too"), None);
        assert_eq!(link("file", "moved/too"), Some(Errno::EEXIST));
        let keep = renameat2(HERE, "file", &moved, "too", RenameFlags::RENAME_NOREPLACE);
        assert_eq!(keep, Err(Errno::EEXIST));
        // Two names of one file.
        assert_eq!(rename("file", "moved/too"), None);
        assert_eq!(read("file"), Ok("open/file".into()));
        for (old, new, expected) in [
            ("none", "x", Errno::ENOENT),
            ("file", "none/x", Errno::ENOENT),
            ("file/", "x", Errno::ENOTDIR),
            ("file", "x/", Errno::ENOTDIR),
            ("file", "file/x", Errno::ENOTDIR),
            ("file", "moved", Errno::EISDIR),
            ("moved", "file", Errno::ENOTDIR),
            ("moved", "moved/inner/x", Errno::EINVAL),
            ("moved/inner", "moved/..", Errno::EBUSY),
            (".", "x", Errno::EBUSY),
            ("/", "x", Errno::EBUSY),
            ("", "x", Errno::ENOENT),
            ("file", "", Errno::ENOENT),
            ("file", "/proc/x", Errno::EXDEV),
        ] {
            assert_eq!(rename(old, new), Some(expected), "{old} to {new}");
        }
        for (old, new, expected) in [
            ("none", "x", Errno::ENOENT),
            ("moved", "x", Errno::EPERM),
            ("file", ".", Errno::EEXIST),
            ("file", "x/", Errno::ENOENT),
            ("file/", "x", Errno::ENOTDIR),
            ("/proc/self/comm", "x", Errno::EXDEV),
        ] {
            assert_eq!(link(old, new), Some(expected), "{old} to {new}");
        }
        // A file without a name is given one.
        for by_number in [true, false] {
            let file = at(HERE, ".", libc::O_TMPFILE | libc::O_RDWR, 0o600).unwrap();
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let given = if by_number {
                linkat(HERE, path.as_str(), HERE, "named", AtFlags::AT_SYMLINK_FOLLOW)
            } else {
                linkat(&file, "", HERE, "named", AtFlags::AT_EMPTY_PATH)
            };
            assert_eq!(given, Ok(()), "{by_number}");
            assert_eq!(read("named"), Ok(String::new()));
            fs::remove_file("named").unwrap();
        }
        fs::remove_dir_all("moved").unwrap();
    });
}
