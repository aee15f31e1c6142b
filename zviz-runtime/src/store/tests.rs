use super::*;
use crate::container::{Init, State, Status};
use crate::plan::{Plan, Process};
use nix::unistd::mkfifo;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Root::Given(dir.path().join("root"))).unwrap();
    (dir, store)
}

fn id(id: &str) -> Id {
    Id::new(id).unwrap()
}

fn state(name: &str) -> State {
    State::new("1.2.0", id(name), "/bundle", Plan::default())
}

fn running(name: &str) -> State {
    let init = Init::read(i32::try_from(std::process::id()).unwrap()).unwrap();
    State { init, creating: false, ..state(name) }
}

#[test]
fn a_container_is_remembered_until_it_is_removed() {
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    assert!(matches!(store.entry(&id("a")).unwrap().load(), Err(Error::Absent(_))), "nothing was saved yet");
    let mut state = state("a");
    locked.save(&state).unwrap();
    state.plan.annotations.insert("k".into(), "v".into());
    locked.save(&state).unwrap();
    assert_eq!(store.entry(&id("a")).unwrap().load().unwrap(), state);
    assert!(matches!(store.create(&id("a")), Err(Error::Exists(_))));
    assert_eq!(store.ids().unwrap(), [id("a")]);

    mkfifo(&store.path().join("a").join(entry::EXEC_FIFO), Mode::S_IRWXU).unwrap();
    locked.remove().unwrap();
    assert!(matches!(store.lock(&id("a")), Err(Error::Absent(_))));
    assert_eq!(store.ids().unwrap(), []);
    assert_eq!(std::fs::read_dir(store.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_container_is_not_listed() {
    let (_dir, store) = store();
    std::fs::write(store.path().join("file"), "").unwrap();
    std::fs::create_dir(store.path().join(".dot")).unwrap();
    std::fs::create_dir(store.path().join("with space")).unwrap();
    std::os::unix::fs::symlink("/etc", store.path().join("link")).unwrap();
    assert_eq!(store.ids().unwrap(), []);
    assert!(matches!(store.entry(&id("file")), Err(Error::Absent(_))));
    assert!(matches!(store.entry(&id("link")), Err(Error::Absent(_))));
}

#[test]
fn a_state_of_another_container_is_refused() {
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    locked.save(&state("b")).unwrap();
    assert_eq!(locked.load().unwrap_err().to_string(), "container a: state.json: it belongs to b");
    std::fs::write(store.path().join("a/state.json"), "{").unwrap();
    assert!(matches!(locked.load(), Err(Error::State { .. })));
}

#[test]
fn status_follows_init_the_fifo_and_the_freezer() {
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    let never = |_: &State| panic!("asked without need");
    assert_eq!(store.entry(&id("a")).unwrap().status(&state("a")).unwrap(), Status::Creating);
    assert_eq!(locked.status(&state("a")).unwrap(), Status::Stopped, "whoever created it holds no lock any more");
    assert_eq!(locked.settled(&running("a"), |_| false).unwrap(), Status::Running);
    assert_eq!(locked.settled(&running("a"), |_| true).unwrap(), Status::Paused);
    mkfifo(&store.path().join("a").join(entry::EXEC_FIFO), Mode::S_IRWXU).unwrap();
    assert_eq!(locked.settled(&running("a"), |_| false).unwrap(), Status::Created);
    let reused = Init { pid: running("a").init.unwrap().pid, started: 1 };
    assert_eq!(locked.settled(&State { init: Some(reused), ..running("a") }, never).unwrap(), Status::Stopped);
    drop(locked);
    assert_eq!(store.entry(&id("a")).unwrap().status(&state("a")).unwrap(), Status::Stopped);
}

#[test]
fn who_waits_for_an_end_is_seen_until_it_takes_all_away() {
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    locked.save(&running("a")).unwrap();
    let left = locked.way_back().unwrap();
    drop(locked);
    let tended = || store.lock(&id("a")).unwrap().is_tended().unwrap();
    assert!(tended() && tended(), "looking changes nothing");
    // Dead, as the kernel closes what it had.
    drop(left);
    assert!(!tended());
    let left = store.lock(&id("a")).unwrap().way_back().unwrap();
    assert!(tended());
    left.lock().unwrap().unwrap().remove().unwrap();
    assert_eq!(store.ids().unwrap(), []);
}

#[test]
fn a_lock_that_is_not_given_up_is_reported() {
    let (_dir, store) = store();
    let held = store.create(&id("a")).unwrap();
    let entry = store.entry(&id("a")).unwrap();
    let error = lock::exclusive(&entry, Duration::from_millis(5)).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(held);
    lock::exclusive(&entry, Duration::from_millis(5)).unwrap();
}

#[test]
fn of_many_who_create_one_id_one_succeeds_at_a_time() {
    let (_dir, store) = store();
    let inside = AtomicUsize::new(0);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match store.create(&id("a")) {
                        Ok(locked) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            locked.save(&state("a")).unwrap();
                            made.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            locked.remove().unwrap();
                        }
                        Err(Error::Exists(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        // Someone who clears away what has no state, as `delete` does, and a reader.
        scope.spawn(|| {
            for _ in 0..200 {
                match store.lock(&id("a")) {
                    Ok(locked) if matches!(locked.load(), Err(Error::Absent(_))) => locked.remove().unwrap(),
                    Ok(_) | Err(Error::Absent(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        scope.spawn(|| {
            for _ in 0..500 {
                match store.entry(&id("a")).and_then(|entry| entry.load()) {
                    Ok(_) | Err(Error::Absent(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
    assert!(made.load(Ordering::SeqCst) > 0);
    assert_eq!(store.ids().unwrap(), []);
}

#[test]
fn a_reader_never_sees_half_a_state() {
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    let mut big = state("a");
    big.plan.process = Process { env: vec!["x".repeat(1000); 200], ..Process::default() };
    locked.save(&state("a")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                locked.save(&big).unwrap();
                locked.save(&state("a")).unwrap();
            }
        });
        let reader = scope.spawn(|| {
            for _ in 0..300 {
                let env = store.entry(&id("a")).unwrap().load().unwrap().plan.process.env.len();
                assert!(env == 0 || env == 200);
            }
        });
        reader.join().unwrap();
    });
}

#[test]
fn the_lock_does_not_stay_with_a_child_that_inherited_it() {
    use std::os::fd::AsFd;
    let (_dir, store) = store();
    let locked = store.create(&id("a")).unwrap();
    // A duplicate is what a forked child has.
    let inherited = locked.dir().as_fd().try_clone_to_owned().unwrap();
    drop(locked);
    lock::exclusive(&store.entry(&id("a")).unwrap(), Duration::from_millis(5)).unwrap();
    drop(inherited);
}

/// Where [`processes_exclude_each_other`] tells its children to work.
const CHILD_ROOT: &str = "ZVIZ_TEST_STORE_ROOT";

#[test]
fn processes_exclude_each_other() {
    let (_dir, store) = store();
    let child = || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_process", "--ignored"])
            .env(CHILD_ROOT, store.path())
            .output()
            .unwrap()
    };
    std::thread::scope(|scope| {
        let children: Vec<_> = (0..4).map(|_| scope.spawn(child)).collect();
        for child in children {
            let output = child.join().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    });
    assert_eq!(store.ids().unwrap(), []);
    // Each added one, a hundred times, and none was lost.
    assert_eq!(std::fs::read_to_string(store.path().join("counter")).unwrap().trim(), "400");
}

/// Not a test of its own: counts in a file that only the lock protects, and makes and removes the container meanwhile.
#[test]
#[ignore = "run by processes_exclude_each_other"]
fn child_process() {
    let Some(root) = std::env::var_os(CHILD_ROOT) else { return };
    let store = Store::open(&Root::Given(root.into())).unwrap();
    let counter = store.path().join("counter");
    let mut left = 100;
    while left > 0 {
        let locked = match store.create(&id("a")) {
            Err(Error::Exists(_)) => store.lock(&id("a")),
            created => created,
        };
        let locked = match locked {
            Ok(locked) => locked,
            // Removed by another between the two calls.
            Err(Error::Absent(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        let count: u32 = std::fs::read_to_string(&counter).map_or(0, |text| text.trim().parse().unwrap());
        locked.save(&state("a")).unwrap();
        std::fs::write(&counter, format!("{}\n", count + 1)).unwrap();
        left -= 1;
        locked.remove().unwrap();
    }
}
