use super::*;
use crate::plan::{Hook, Plan};
use crate::store::{Root, Store};
use std::process::{Child, Command};

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Root::Given(dir.path().join("root"))).unwrap();
        Self { dir, store }
    }

    /// A container that is no more than a process and its state: no cgroup, no namespaces.
    fn container(&self, id: &str) -> (Child, Locked, State) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let id = Id::new(id).unwrap();
        let locked = self.store.create(&id).unwrap();
        let bundle = self.dir.path().to_str().unwrap();
        let mut state = State::new("1.2.0", id, bundle, Plan::default());
        state.init = Init::read(i32::try_from(child.id()).unwrap()).unwrap();
        state.creating = false;
        locked.save(&state).unwrap();
        (child, locked, state)
    }
}

fn hook(script: &str) -> Hook {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".into(), args, env: vec!["PATH=/usr/bin:/bin".into()], timeout: Some(10) }
}

#[test]
fn one_that_runs_is_deleted_by_force_only() {
    let fixture = Fixture::new();
    let (mut child, locked, state) = fixture.container("a");
    let id = state.id.clone();
    let error = delete(locked, &state, false).unwrap_err();
    assert_eq!(error.to_string(), "cannot delete container a that is not stopped: running");
    assert!(child.try_wait().unwrap().is_none());

    let locked = fixture.store.lock(&id).unwrap();
    assert!(delete(locked, &state, true).unwrap().is_empty());
    assert!(!child.wait().unwrap().success());
    assert_eq!(fixture.store.ids().unwrap(), []);
}

#[test]
fn a_created_one_is_deleted_without_force() {
    let fixture = Fixture::new();
    let (mut child, locked, state) = fixture.container("a");
    let fifo = fixture.store.path().join("a").join(store::EXEC_FIFO);
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    delete(locked, &state, false).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(fixture.store.ids().unwrap(), []);
}

#[test]
fn signals_reach_init_and_nobody_else() {
    let fixture = Fixture::new();
    let (mut child, _locked, mut state) = fixture.container("a");
    signal(&state, 0).unwrap();
    assert!(matches!(signal(&state, 1000), Err(Error::Signal { errno: Errno::EINVAL, .. })));
    signal_all(&state, libc::SIGTERM).unwrap();
    child.wait().unwrap();
    assert_eq!(signal(&state, libc::SIGTERM).unwrap_err().to_string(), "container not running: a");
    assert!(matches!(signal_all(&state, libc::SIGKILL), Err(Error::NotRunning(_))));

    // A process that has taken the pid since.
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    state.init = Some(Init { pid: i32::try_from(other.id()).unwrap(), started: 1 });
    assert!(matches!(signal(&state, libc::SIGKILL), Err(Error::NotRunning(_))));
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn poststop_hooks_run_after_the_container_is_gone_whatever_the_others_did() {
    let fixture = Fixture::new();
    let (mut child, locked, mut state) = fixture.container("a");
    child.kill().unwrap();
    child.wait().unwrap();
    let out = fixture.dir.path().join("out");
    let script = format!("test ! -e {}/a && cat > {}", fixture.store.path().display(), out.display());
    state.plan.hooks.poststop = vec![hook("exit 3"), hook(&script)];
    let failed = delete(locked, &state, false).unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].to_string().starts_with("hooks.poststop[0]: /bin/sh: "), "{}", failed[0]);
    let seen: serde_json::Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    assert_eq!((&seen["id"], &seen["status"], seen.get("pid")), (&"a".into(), &"stopped".into(), None));
}

#[test]
fn a_zombie_is_stopped() {
    let fixture = Fixture::new();
    let (mut child, locked, state) = fixture.container("a");
    child.kill().unwrap();
    while state.live_init().is_some() {
        std::thread::yield_now();
    }
    delete(locked, &state, false).unwrap();
    child.wait().unwrap();
}
