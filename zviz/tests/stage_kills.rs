//! `zviz stage apply` is killed before each call that changes something: every file of the folder is the old one or the new one,
//! and the next command leaves no name of ours there, nor takes anything of the owner's away.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use support::requires;
use zviz_stage::Stages;
use zviz_stage::apply::UNFINISHED;

/// What changes a folder, the stage or what is written down about it. A file that was made is not written to yet at the first of
/// these.
const CALLS: &[&str] = &[
    "write",
    "copy_file_range",
    "sendfile",
    "fchown",
    "fchmod",
    "fchmodat",
    "linkat",
    "symlinkat",
    "renameat",
    "renameat2",
    "rename",
    "unlinkat",
    "unlink",
    "rmdir",
    "mkdir",
    "mkdirat",
    "ftruncate",
];

/// Of the tests here one at a time: a program that another one starts has the lock of a stage that is being made, for a moment.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A stage of a folder, with a change of each kind.
struct Scene {
    all: tempfile::TempDir,
    mine: String,
}

impl Scene {
    fn new() -> Scene {
        let all = tempfile::tempdir().unwrap();
        let scene = Scene { mine: format!("{UNFINISHED}mine"), all };
        let folder = scene.path("folder");
        for path in ["d", "old/inner"] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        for file in ["changed", "d/deep", "gone", "old/x", "old/inner/y", "becomes-link", "becomes-folder", &scene.mine]
        {
            fs::write(folder.join(file), "host").unwrap();
        }
        symlink("d", folder.join("link")).unwrap();
        let stages = Stages::below(scene.path("state/zviz/stages"));
        let (stage, lock) = stages.take("it", folder.to_str().unwrap()).unwrap();
        let upper = stage.layers().join("upper");
        for path in ["d", "made", "becomes-folder"] {
            fs::create_dir(upper.join(path)).unwrap();
        }
        for file in ["changed", "d/deep", "made/new", "becomes-folder/z"] {
            fs::write(upper.join(file), "stage").unwrap();
        }
        for link in ["link", "becomes-link", "made/link"] {
            symlink("gone-to", upper.join(link)).unwrap();
        }
        for whiteout in ["gone", "old"] {
            mknod(&upper.join(whiteout), SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)).unwrap();
        }
        drop(lock);
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.all.path().join(path)
    }

    /// `zviz stage` after other words.
    fn command(&self, before: &[&str], verb: &[&str]) -> Output {
        let zviz = env!("CARGO_BIN_EXE_zviz");
        let words: Vec<&str> = before.iter().copied().chain([zviz, "stage"]).chain(verb.iter().copied()).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("XDG_STATE_HOME", self.path("state"));
        command.current_dir(self.path("folder")).stdin(Stdio::null()).output().unwrap()
    }

    /// Paths with what is there.
    fn folder(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("folder")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let kind = fs::symlink_metadata(&entry).unwrap().file_type();
                let is = if kind.is_dir() {
                    folders.push(entry.clone());
                    "/".to_owned()
                } else if kind.is_symlink() {
                    format!("-> {}", fs::read_link(&entry).unwrap().display())
                } else {
                    fs::read_to_string(&entry).unwrap()
                };
                let path = entry.strip_prefix(self.path("folder")).unwrap().to_str().unwrap().to_owned();
                found.push((path, is));
            }
        }
        found.sort();
        found
    }

    /// Names of ours that are in the folder.
    fn ours(&self) -> Vec<String> {
        let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
        let names = self.folder().into_iter().map(|(path, _)| name(&path));
        names.filter(|name| name.starts_with(UNFINISHED) && *name != self.mine).collect()
    }
}

/// strace, which kills it before it makes a call for the `when`-th time, and has other calls fail.
fn killed(scene: &Scene, call: &str, when: usize, fault: &[String]) -> bool {
    let trace = format!("trace={call},openat");
    let kill = format!("inject={call}:signal=KILL:when={when}");
    let mut words = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &kill];
    fault.iter().for_each(|fault| words.extend(["-e", fault]));
    let output = scene.command(&words, &["apply", "--trust"]);
    let killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    assert!(killed || output.status.success(), "{call} {when}: {output:?}");
    killed
}

/// Whether a name of ours was there between the two.
fn next_command_finds_the_end(call: &str, when: usize, fault: &[String]) -> Option<bool> {
    let mut was_there = false;
    for verb in ["apply", "revert"] {
        let scene = Scene::new();
        let before = scene.folder();
        let mut whole = before.clone();
        if !killed(&scene, call, when, fault) {
            return None;
        }
        was_there |= !scene.ours().is_empty();
        // Where all was applied there is no stage any more.
        let is_there = !scene.command(&[], &["list"]).stdout.is_empty();
        if is_there {
            let flags: &[&str] = if verb == "apply" { &["apply", "--trust"] } else { &["revert"] };
            let output = scene.command(&[], flags);
            assert!(output.status.success(), "{call} {when}: {output:?}");
        }
        assert_eq!(scene.ours(), [""; 0], "{verb} after a kill before {call} {when}");
        assert_eq!(fs::read_to_string(scene.path("folder").join(&scene.mine)).unwrap(), "host");
        assert!(scene.command(&[], &["list"]).stdout.is_empty());
        if verb == "apply" || !is_there {
            assert_eq!(scene.folder(), applied(), "{call} {when}");
        } else {
            whole.extend(applied());
            let odd: Vec<_> = scene.folder().into_iter().filter(|entry| !whole.contains(entry)).collect();
            assert!(odd.iter().all(|(path, is)| path == "becomes-folder" && is == "/"), "{call} {when}: {odd:?}");
        }
    }
    Some(was_there)
}

fn applied() -> Vec<(String, String)> {
    let all = [
        (".zviz-apply-mine", "host"),
        ("becomes-folder", "/"),
        ("becomes-folder/z", "stage"),
        ("becomes-link", "-> gone-to"),
        ("changed", "stage"),
        ("d", "/"),
        ("d/deep", "stage"),
        ("link", "-> gone-to"),
        ("made", "/"),
        ("made/link", "-> gone-to"),
        ("made/new", "stage"),
    ];
    all.iter().map(|(path, is)| ((*path).to_owned(), (*is).to_owned())).collect()
}

fn everywhere(calls: &[&str], fault: &[String]) {
    let control = Scene::new();
    let output = control.command(&[], &["apply", "--trust"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((control.folder(), control.ours()), (applied(), Vec::new()));
    let (mut kills, mut there) = (0, 0);
    for call in calls {
        for when in 1.. {
            let Some(was_there) = next_command_finds_the_end(call, when, fault) else { break };
            kills += 1;
            there += usize::from(was_there);
        }
    }
    println!("killed at {kills} places, at {there} of them with a name of ours in the folder");
    assert!(there > 0, "the control: no kill has left anything for the next command");
}

#[test]
fn what_a_kill_leaves_the_next_command_takes_away() {
    requires!(root, program "strace");
    let _alone = alone();
    everywhere(CALLS, &[]);
}

/// Not every file system makes files without a name.
#[test]
fn nor_is_anything_left_of_files_that_have_a_name_from_the_start() {
    requires!(root, program "strace");
    let _alone = alone();
    let scene = Scene::new();
    let log = scene.path("log");
    let output = scene
        .command(&["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", "trace=openat"], &["apply", "--trust"]);
    assert!(output.status.success(), "{output:?}");
    let log = fs::read_to_string(log).unwrap();
    let nameless: Vec<usize> =
        (1..).zip(log.lines()).filter(|(_, line)| line.contains("O_TMPFILE")).map(|(n, _)| n).collect();
    // In the order of their paths: a new one, and one that replaces another.
    let [new, replaces, ..] = nameless.as_slice() else { panic!("{log}") };
    for when in [new, replaces] {
        let fault = format!("inject=openat:error=EOPNOTSUPP:when={when}");
        everywhere(&["write", "copy_file_range", "renameat2", "unlinkat"], &[fault]);
    }
}

/// Somebody wrote to the file in the moment before it was exchanged, and then the application was killed.
#[test]
fn what_is_somebodys_is_given_back() {
    requires!(root, program "strace");
    let _alone = alone();
    let mut there = 0;
    for (call, last) in [("renameat2", 9), ("unlinkat", 9)] {
        for when in 1..=last {
            let scene = Scene::new();
            if !killed(&scene, call, when, &[]) {
                break;
            }
            let [ours] = scene.ours().try_into().unwrap_or_else(|_| [String::new()]);
            let path = find(&scene.path("folder"), &ours);
            let Some(path) = path.filter(|path| fs::read_to_string(path).is_ok_and(|text| text == "host")) else {
                continue;
            };
            fs::write(&path, "somebody's").unwrap();
            there += 1;
            let output = scene.command(&[], &["revert"]);
            let folder = scene.folder();
            assert!(folder.iter().any(|(_, is)| is == "somebody's"), "{call} {when}: {folder:?}: {output:?}");
            assert_eq!(scene.ours(), [""; 0], "{call} {when}: {output:?}");
        }
    }
    assert!(there > 1, "nothing was tried");
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    let mut found = entries.filter_map(|path| if path.ends_with(name) { Some(path) } else { find(&path, name) });
    found.next().filter(|_| !name.is_empty())
}
