//! The host's folder changes between the judgement and the application: what is there then is not lost, and nothing is
//! written anywhere else.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use nix::sys::signal::{SigSet, Signal};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use zviz_stage::{Error, Judged, Opened, Stages};

struct Scene {
    all: tempfile::TempDir,
    opened: Opened,
    judged: Vec<Judged>,
}

impl Scene {
    /// A folder with `a` and `d/f`, both changed in the stage, which also makes `new` and deletes nothing.
    fn new() -> Scene {
        let all = tempfile::tempdir().unwrap();
        let folder = all.path().join("folder");
        fs::create_dir_all(folder.join("d")).unwrap();
        fs::create_dir(all.path().join("outside")).unwrap();
        for file in ["folder/a", "folder/d/f", "outside/f"] {
            fs::write(all.path().join(file), "host").unwrap();
        }
        let stages = Stages::below(all.path().join("stages"));
        let (stage, _lock) = stages.take("it", folder.to_str().unwrap()).unwrap();
        let upper = stage.layers().join("upper");
        fs::create_dir(upper.join("d")).unwrap();
        for file in ["a", "d/f", "new"] {
            fs::write(upper.join(file), "stage").unwrap();
        }
        let opened = stage.opened().unwrap();
        let judged = opened.judge(opened.changes().unwrap()).unwrap();
        assert_eq!(judged.len(), 3, "{judged:?}");
        Scene { all, opened, judged }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.all.path().join(path)
    }

    fn apply(&mut self, path: &str) -> Result<usize, Error> {
        let judged: Vec<Judged> =
            self.judged.iter().filter(|judged| judged.change.path == path.as_bytes()).cloned().collect();
        assert_eq!(judged.len(), 1);
        self.opened.apply(&judged)
    }

    fn has_nothing_of_ours(&self) {
        for folder in ["folder", "folder/d", "outside"] {
            let Ok(entries) = fs::read_dir(self.path(folder)) else { continue };
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert!(!names.iter().any(|name| name.starts_with(zviz_stage::apply::UNFINISHED)), "{names:?}");
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn without_a_race_all_is_applied() {
    let mut scene = Scene::new();
    let judged = scene.judged.clone();
    assert_eq!(scene.opened.apply(&judged).unwrap(), 3);
    for file in ["folder/a", "folder/d/f", "folder/new"] {
        assert_eq!(read(&scene.path(file)), "stage");
    }
    assert!(scene.opened.changes().unwrap().is_empty());
    scene.has_nothing_of_ours();
}

#[test]
fn who_interrupts_it_is_heard_between_two_files() {
    let mut scene = Scene::new();
    let judged = scene.judged.clone();
    let term: SigSet = [Signal::SIGTERM].into_iter().collect();
    term.thread_block().unwrap();
    nix::sys::signal::raise(Signal::SIGTERM).unwrap();
    assert!(matches!(scene.opened.apply(&judged), Err(Error::Interrupted)));
    assert_eq!(read(&scene.path("folder/a")), "host");
    scene.has_nothing_of_ours();
    // It is over, and whoever had signals blocked has them blocked.
    assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    assert_eq!(scene.opened.apply(&judged).unwrap(), 3);
    term.thread_unblock().unwrap();
}

#[test]
fn a_file_that_was_written_meanwhile_stays() {
    let mut scene = Scene::new();
    fs::write(scene.path("folder/a"), "later").unwrap();
    assert!(matches!(scene.apply("a"), Err(Error::Raced(_))));
    assert_eq!(read(&scene.path("folder/a")), "later");
    fs::write(scene.path("folder/new"), "later").unwrap();
    assert!(matches!(scene.apply("new"), Err(Error::Raced(_))));
    assert_eq!(read(&scene.path("folder/new")), "later");
    scene.has_nothing_of_ours();
}

#[test]
fn a_link_in_the_place_of_a_file_or_folder_is_not_followed() {
    let mut scene = Scene::new();
    fs::remove_file(scene.path("folder/a")).unwrap();
    symlink(scene.path("outside/f"), scene.path("folder/a")).unwrap();
    assert!(matches!(scene.apply("a"), Err(Error::Raced(_))));
    fs::rename(scene.path("folder/d"), scene.path("was")).unwrap();
    symlink(scene.path("outside"), scene.path("folder/d")).unwrap();
    assert!(matches!(scene.apply("d/f"), Err(Error::Raced(_))));
    symlink(scene.path("outside/made"), scene.path("folder/new")).unwrap();
    assert!(matches!(scene.apply("new"), Err(Error::Raced(_))));
    assert_eq!(read(&scene.path("outside/f")), "host");
    assert!(!scene.path("outside/made").exists());
    scene.has_nothing_of_ours();
}

/// Somebody exchanges the folder with a link to another one, all the time.
#[test]
fn a_folder_that_flickers() {
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..40 {
        let mut scene = Scene::new();
        let (folder, link) = (scene.path("folder/d"), scene.path("folder/other"));
        symlink(scene.path("outside"), &link).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
                while !stop.load(Ordering::Relaxed) {
                    nix::fcntl::renameat2(nix::fcntl::AT_FDCWD, &folder, nix::fcntl::AT_FDCWD, &link, flags).unwrap();
                }
            });
            for _ in 0..20 {
                match scene.apply("d/f") {
                    Ok(_) => applied += 1,
                    Err(Error::Raced(_)) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(read(&scene.path("outside/f")), "host");
        scene.has_nothing_of_ours();
    }
    println!("{applied} applied, {refused} refused");
    assert!(refused > 0, "nothing was tried");
}
