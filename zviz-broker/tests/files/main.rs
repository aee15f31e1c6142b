//! Files opened by way of the broker: what is opened natively is opened, and what a rule forbids is not, by whatever path.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod asking;
mod brokered;
mod chance;
mod changes;
mod cost;
mod known;
mod names;
#[path = "../runner/mod.rs"]
mod runner;
mod toctou;
mod written;

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zviz_broker::policy::Policy;
use zviz_broker::policy::files::{Access, FileRule, Files, Reason, Verdict};
use zviz_sys::path;

/// A folder with what may be opened and what may not.
struct Scene {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["open/deep", "secret/deep"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        for name in ["open/file", "open/deep/file", "secret/file", "secret/deep/file"] {
            fs::write(base.join(name), name).unwrap();
        }
        symlink("../secret/file", base.join("open/link")).unwrap();
        symlink(base.join("secret"), base.join("open/directory")).unwrap();
        symlink("link", base.join("open/link-to-link")).unwrap();
        symlink("../open/file", base.join("secret/way-out")).unwrap();
        symlink("new", base.join("open/link-to-new")).unwrap();
        symlink("../secret/new", base.join("open/link-to-new-secret")).unwrap();
        Scene { _folder: folder, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn policy(&self) -> Policy {
        let rule = |glob: String, access, verdict| FileRule { glob, access, verdict };
        let base = self.base.display();
        let rules = vec![
            rule(format!("{base}/secret/**"), Access::Any, Verdict::Deny(Reason::Eacces)),
            rule(format!("{base}/secret"), Access::Any, Verdict::Deny(Reason::Eperm)),
            rule(format!("{base}/open/deep/*"), Access::Write, Verdict::Deny(Reason::Erofs)),
        ];
        Policy { files: Some(Files { rules, ..Files::default() }), ..Policy::default() }
    }
}

fn read(path: impl AsRef<Path>) -> Result<String, Errno> {
    fs::read_to_string(path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

/// By openat(2) as it is.
fn at(directory: impl AsFd, path: &str, flags: i32, mode: u32) -> Result<fs::File, Errno> {
    let path = CString::new(path).unwrap();
    path::openat(directory.as_fd(), &path, flags, mode).map(fs::File::from)
}

const HERE: BorrowedFd<'static> = nix::fcntl::AT_FDCWD;

/// How a check is run.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Without a broker.
    Native,
    /// With one that has no rule.
    Free,
    /// With the rules of the scene.
    Ruled,
}

/// The same calls natively and by way of the broker.
fn both(test: &str, policy: Policy, check: impl Fn(Mode)) {
    assert_eq!(brokered::native(|| check(Mode::Native)), Some(0), "{test}: natively");
    let all = Policy { files: Some(Files { rules: Vec::new(), ..Files::default() }), ..policy.clone() };
    assert_eq!(brokered::run((all, false), || check(Mode::Free)), Some(0), "{test}: without rules");
    for one in [false, true] {
        let ruled = brokered::run((policy.clone(), one), || check(Mode::Ruled));
        assert_eq!(ruled, Some(0), "{test}: with rules, one identity: {one}");
    }
}

fn rules_hold_by_any_path(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |mode| {
        let ruled = mode == Mode::Ruled;
        let said = |errno: Errno, text: &str| if ruled { Err(errno) } else { Ok(text.to_owned()) };
        let hidden = || said(Errno::EACCES, "secret/file");
        assert_eq!(read(scene.path("open/file")), Ok("open/file".into()));
        assert_eq!(read(scene.path("open/deep/file")), Ok("open/deep/file".into()));
        for name in [
            "secret/file",
            "open/link",
            "open/link-to-link",
            "open/directory/file",
            "open/../secret/file",
            "open//..///secret/./file",
            "open/directory/../secret/file",
            "secret/way-out/../../secret/file",
        ] {
            if name.contains("way-out") {
                assert_eq!(read(scene.path(name)), Err(Errno::ENOTDIR), "{name}");
                continue;
            }
            assert_eq!(read(scene.path(name)), hidden(), "{name}");
        }
        // It is the file's own name that counts.
        assert_eq!(read(scene.path("secret/way-out")), Ok("open/file".into()));
        let through = |prefix: &str| format!("{prefix}{}/secret/file", scene.base.display());
        for prefix in ["/proc/self/root", "/proc/thread-self/root", "/proc/1/root", "/proc/self/task/1/root/.."] {
            assert_eq!(read(through(prefix)), hidden(), "{prefix}");
        }
        // Relative to the working directory, to a directory, to one behind a link.
        std::env::set_current_dir(scene.path("open")).unwrap();
        assert_eq!(read("../secret/file"), hidden());
        assert_eq!(read("/proc/self/cwd/../secret/file"), hidden());
        assert_eq!(read("file"), Ok("open/file".into()));
        std::env::set_current_dir(scene.path("secret")).unwrap();
        assert_eq!(read("file"), hidden());
        let directory = at(HERE, ".", libc::O_PATH, 0).unwrap();
        let mut text = String::new();
        let found = at(&directory, "file", libc::O_RDONLY, 0).map(|mut file| file.read_to_string(&mut text).map(drop));
        assert_eq!(found.is_ok(), !ruled);
        assert_eq!(at(&directory, "deep/file", libc::O_RDONLY, 0).is_ok(), !ruled);
        assert_eq!(at(&directory, ".", libc::O_RDONLY, 0).err(), ruled.then_some(Errno::EPERM));
        assert_eq!(read(format!("/proc/self/fd/{}/file", directory.as_raw_fd())), hidden());
        assert_eq!(at(&directory, "../open/file", libc::O_RDONLY, 0).err(), None);
        // A descriptor that opens nothing is not asked about; whatever is opened by it is.
        let nothing = at(HERE, "file", libc::O_PATH, 0).unwrap();
        assert_eq!(read(format!("/proc/self/fd/{}", nothing.as_raw_fd())), hidden());
        assert_eq!(read(format!("/dev/fd/{}", nothing.as_raw_fd())), hidden());
        // Writing is another access than reading.
        let write = fs::OpenOptions::new().write(true).open(scene.path("open/deep/file"));
        assert_eq!(write.err().and_then(|error| error.raw_os_error()), ruled.then_some(libc::EROFS));
    });
}

fn what_is_opened_is_as_natively(test: &str) {
    let scene = Scene::new();
    let fifo = scene.path("open/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_retain(0o600)).unwrap();
    both(test, scene.policy(), |mode| {
        std::env::set_current_dir(scene.path("open")).unwrap();
        // Flags, and the errnos of what cannot be.
        let flags = |file: &fs::File| nix::fcntl::fcntl(file, nix::fcntl::F_GETFL).unwrap() & !0o100_000;
        let of = |flags: i32| at(HERE, "file", flags, 0);
        assert_eq!(flags(&of(libc::O_RDWR | libc::O_APPEND).unwrap()), libc::O_RDWR | libc::O_APPEND);
        // The same by a path that is the file's name.
        let name = scene.path("open/file");
        let by_name = |flags: i32| at(HERE, name.to_str().unwrap(), flags, 0);
        for asked in [0, libc::O_NONBLOCK, libc::O_NOFOLLOW, libc::O_NOFOLLOW | libc::O_NONBLOCK] {
            assert_eq!(by_name(asked).map(|file| flags(&file)), Ok(asked), "{asked:#o}");
        }
        assert_eq!(by_name(libc::O_DIRECTORY).err(), Some(Errno::ENOTDIR));
        assert_eq!(at(HERE, scene.path("open").to_str().unwrap(), libc::O_DIRECTORY, 0).err(), None);
        for (missing, errno) in
            [("open/none", Errno::ENOENT), ("open/none/none", Errno::ENOENT), ("open/file/x", Errno::ENOTDIR)]
        {
            assert_eq!(at(HERE, scene.path(missing).to_str().unwrap(), 0, 0).err(), Some(errno), "{missing}");
        }
        assert_eq!(of(libc::O_DIRECTORY).err(), Some(Errno::ENOTDIR));
        assert_eq!(of(libc::O_CREAT | libc::O_EXCL).err(), Some(Errno::EEXIST));
        assert_eq!(at(HERE, "link-to-link", libc::O_NOFOLLOW, 0).err(), Some(Errno::ELOOP));
        assert_eq!(at(HERE, "link-to-new", libc::O_CREAT | libc::O_EXCL, 0).err(), Some(Errno::EEXIST));
        assert_eq!(at(HERE, "link-to-new", libc::O_CREAT | libc::O_NOFOLLOW, 0).err(), Some(Errno::ELOOP));
        assert_eq!(at(HERE, "none", 0, 0).err(), Some(Errno::ENOENT));
        assert_eq!(at(HERE, "none/none", libc::O_CREAT, 0).err(), Some(Errno::ENOENT));
        assert_eq!(at(HERE, "file/x", 0, 0).err(), Some(Errno::ENOTDIR));
        assert_eq!(at(HERE, "file/", 0, 0).err(), Some(Errno::ENOTDIR));
        assert_eq!(at(HERE, "", 0, 0).err(), Some(Errno::ENOENT));
        assert_eq!(at(HERE, ".", libc::O_WRONLY, 0).err(), Some(Errno::EISDIR));
        assert_eq!(at(HERE, "new/", libc::O_CREAT, 0).err(), Some(Errno::EISDIR));
        assert_eq!(at(HERE, "..", libc::O_CREAT, 0).err(), Some(Errno::EISDIR));
        let file = of(0).unwrap();
        assert_eq!(at(&file, "x", 0, 0).err(), Some(Errno::ENOTDIR));
        // Close-on-exec is the call's.
        for (flag, expected) in [(0, 0), (libc::O_CLOEXEC, libc::FD_CLOEXEC)] {
            let file =
                nix::fcntl::open("file", nix::fcntl::OFlag::from_bits_retain(flag), nix::sys::stat::Mode::empty());
            assert_eq!(nix::fcntl::fcntl(file.unwrap(), nix::fcntl::F_GETFD).unwrap(), expected);
        }
        // What is made has the mode and the umask, and the name behind a link.
        let bits = |name: &str| fs::symlink_metadata(name).unwrap().permissions().mode() & 0o7777;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_retain(0o027));
        at(HERE, "made", libc::O_CREAT | libc::O_WRONLY, 0o666).unwrap().write_all(b"made").unwrap();
        assert_eq!((bits("made"), read("made")), (0o640, Ok("made".into())));
        nix::sys::stat::umask(nix::sys::stat::Mode::empty());
        at(HERE, "link-to-new", libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, 0o604).unwrap();
        assert_eq!(bits("new"), 0o604);
        at(HERE, "made", libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, 0).unwrap();
        assert_eq!(read("made"), Ok(String::new()));
        // A file without a name can be given one.
        let mut nameless = at(HERE, ".", libc::O_TMPFILE | libc::O_RDWR, 0o600).unwrap();
        nameless.write_all(b"x").unwrap();
        assert_eq!(nameless.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for name in ["made", "new"] {
            fs::remove_file(name).unwrap();
        }
        // The caller's own things.
        assert!(read("/proc/self/stat").unwrap().starts_with("1 "));
        assert!(read("/proc/thread-self/stat").unwrap().starts_with("1 "));
        assert_eq!(read("/proc/self/comm"), read("/proc/1/comm"));
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"through").unwrap();
        drop(writer);
        assert_eq!(read(format!("/dev/fd/{}", reader.as_raw_fd())), Ok("through".into()));
        fs::write("/dev/null", "x").unwrap();
        assert_eq!(at(HERE, "/dev/tty", libc::O_RDWR, 0).err(), Some(Errno::ENXIO));
        // A deleted file by its descriptor.
        fs::write("gone", "gone").unwrap();
        let gone = at(HERE, "gone", 0, 0).unwrap();
        fs::remove_file("gone").unwrap();
        assert_eq!(read(format!("/proc/self/fd/{}", gone.as_raw_fd())), Ok("gone".into()));
        // A FIFO waits for its other end, for longer than any deadline, and holds up nobody.
        let other = fifo.clone();
        let reader = std::thread::spawn(move || read(other));
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(read("file"), Ok("open/file".into()));
        fs::write(&fifo, "by fifo").unwrap();
        assert_eq!(reader.join().unwrap(), Ok("by fifo".into()));
        assert_eq!(at(HERE, "fifo", libc::O_WRONLY | libc::O_NONBLOCK, 0).err(), Some(Errno::ENXIO));
        // openat2.
        use zviz_sys::path::{openat2, resolve};
        let how = |path: &CStr, flags, resolve| openat2(HERE, path, flags, 0, resolve).err();
        assert_eq!(how(c"file", 0, resolve::BENEATH), None);
        assert_eq!(how(c"../open/file", 0, resolve::BENEATH), Some(Errno::EXDEV));
        assert_eq!(how(c"/file", 0, resolve::IN_ROOT), None);
        assert_eq!(how(c"link", 0, resolve::NO_SYMLINKS), Some(Errno::ELOOP));
        assert_eq!(how(c"/proc/self/exe", 0, resolve::NO_MAGICLINKS), Some(Errno::ELOOP));
        assert_eq!(how(c"file", 0, 1 << 40), Some(Errno::EINVAL));
        let documented = (mode != Mode::Native).then_some(Errno::ENOSYS);
        assert_eq!(how(c"file", libc::O_PATH, 0), documented, "documented: by openat(2) only");
    });
}

fn nothing_is_made_where_it_may_not_be(test: &str) {
    let scene = Scene::new();
    both(test, scene.policy(), |mode| {
        let ruled = mode == Mode::Ruled;
        std::env::set_current_dir(scene.path("open")).unwrap();
        let flags = libc::O_CREAT | libc::O_WRONLY;
        for name in ["../secret/new", "directory/new", "link-to-new-secret", "directory/deep/../new"] {
            let made = at(HERE, name, flags, 0o600);
            assert_eq!(made.err(), ruled.then_some(Errno::EACCES), "{name}");
            assert_eq!(fs::symlink_metadata("../secret/new").is_err(), ruled, "{name}");
            let _ = fs::remove_file("../secret/new");
        }
        assert_eq!(at(HERE, "deep/new", flags, 0o600).err(), ruled.then_some(Errno::EROFS));
        assert_eq!(at(HERE, "directory", libc::O_TMPFILE | libc::O_RDWR, 0o600).err(), ruled.then_some(Errno::EACCES));
        assert_eq!(at(HERE, "../secret/file", libc::O_TRUNC, 0).err(), ruled.then_some(Errno::EACCES));
    });
    assert_eq!(fs::metadata(scene.path("secret/file")).unwrap().len(), 0, "the control");
}

const TESTS: &[(&str, runner::Test)] = &[
    ("rules_hold_by_any_path", rules_hold_by_any_path),
    ("what_is_opened_is_as_natively", what_is_opened_is_as_natively),
    ("what_was_opened_before_is_found_as_it_is_now", known::what_was_opened_before_is_found_as_it_is_now),
    ("what_is_written_by_its_name_is_as_natively", written::what_is_written_by_its_name_is_as_natively),
    ("nobody_elses_file_is_written_for_a_new_one", written::nobody_elses_file_is_written_for_a_new_one),
    ("whatever_a_thread_is_called_it_opens", written::whatever_a_thread_is_called_it_opens),
    ("a_lock_goes_with_its_callers_descriptor", written::a_lock_goes_with_its_callers_descriptor),
    ("nothing_is_made_where_it_may_not_be", nothing_is_made_where_it_may_not_be),
    ("nothing_forbidden_is_opened_in_a_race", toctou::nothing_forbidden_is_opened_in_a_race),
    ("no_rule_is_escaped_by_another_name", names::no_rule_is_escaped_by_another_name),
    ("names_are_given_as_natively", names::names_are_given_as_natively),
    ("no_rule_is_escaped_by_a_change", changes::no_rule_is_escaped_by_a_change),
    ("changes_are_made_as_natively", changes::changes_are_made_as_natively),
    ("whatever_is_called_is_as_natively", chance::whatever_is_called_is_as_natively),
    ("a_client_decides", asking::a_client_decides),
    ("nobody_allows_nothing", asking::nobody_allows_nothing),
    ("whole_calls_are_asked_about", asking::whole_calls_are_asked_about),
];

fn main() {
    if std::env::args().any(|argument| argument == "cost") {
        return cost::measure();
    }
    runner::run(TESTS, "for a pid namespace");
}
