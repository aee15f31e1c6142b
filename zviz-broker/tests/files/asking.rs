//! Calls that somebody outside decides about.

use super::{HERE, Scene, at, brokered, read};
use nix::errno::Errno;
use std::time::{Duration, Instant};
use zviz_broker::policy::Policy;
use zviz_broker::policy::ask::{Asking, Client};
use zviz_broker::policy::files::{Access, FileRule, Files, Verdict};

/// Answers by what is in the question.
const CLIENT: &str = r#"
while read -r line; do
    id=${line#*'"id":'}; id=${id%%,*}
    case $line in
        *unheard*) ;;
        *nonsense*) echo maybe ;;
        *deep/file*) echo "{\"id\":$id,\"verdict\":\"deny\",\"errno\":\"ENOENT\"}" ;;
        *denied*) echo "{\"id\":7777,\"verdict\":\"allow\"}"; echo "{\"id\":$id,\"verdict\":\"deny\"}" ;;
        *) echo "{\"id\":$id,\"verdict\":\"allow\"}" ;;
    esac
done"#;

fn policy(scene: &Scene, client: Option<&str>, calls: &[&str]) -> Policy {
    let rule = |glob: &str| FileRule {
        glob: format!("{}/{glob}", scene.base.display()),
        access: Access::Any,
        verdict: Verdict::Ask,
    };
    let asking = Asking {
        client: client.map(|command| Client::Command(command.into())),
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        timeout_ms: 600,
        ..Asking::default()
    };
    let rules = if calls.is_empty() { vec![rule("secret/**")] } else { Vec::new() };
    Policy { ask: Some(asking), files: Some(Files { rules, ..Files::default() }), ..Policy::default() }
}

fn passes(test: &str, policy: &Policy, check: impl Fn()) {
    for one in [false, true] {
        assert_eq!(brokered::run((policy.clone(), one), &check), Some(0), "{test}, one identity: {one}");
    }
}

pub fn a_client_decides(test: &str) {
    let scene = Scene::new();
    for name in ["denied", "unheard", "nonsense"] {
        std::fs::write(scene.path("secret").join(name), "").unwrap();
    }
    passes(test, &policy(&scene, Some(CLIENT), &[]), || {
        let secret = |name: &str| read(scene.path("secret").join(name));
        assert_eq!(read(scene.path("open/file")), Ok("open/file".into()));
        assert_eq!(secret("file"), Ok("secret/file".into()));
        assert_eq!(read(scene.path("open/link")), Ok("secret/file".into()));
        assert_eq!(secret("deep/file"), Err(Errno::ENOENT));
        // A reply to something else is none to this.
        assert_eq!(secret("denied"), Err(Errno::EACCES));
        let path = scene.path("secret/new");
        at(HERE, path.to_str().unwrap(), libc::O_CREAT | libc::O_WRONLY, 0o600).unwrap();
        // A question holds up its caller, and nobody else.
        let started = Instant::now();
        let unheard = scene.path("secret/unheard");
        let waits = std::thread::spawn(move || read(unheard));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(secret("file"), Ok("secret/file".into()));
        assert_eq!(read(scene.path("open/file")), Ok("open/file".into()));
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
        assert_eq!(waits.join().unwrap(), Err(Errno::EACCES));
        assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
        // Who does not keep to the protocol is asked no more.
        assert_eq!(secret("nonsense"), Err(Errno::EACCES));
        assert_eq!(secret("file"), Err(Errno::EACCES));
        assert_eq!(read(scene.path("open/file")), Ok("open/file".into()));
    });
}

pub fn nobody_allows_nothing(test: &str) {
    let scene = Scene::new();
    for client in
        [None, Some("exit 0"), Some("read -r line; exit 0"), Some("head -c 100000 /dev/zero; cat >/dev/null 2>&1")]
    {
        passes(test, &policy(&scene, client, &[]), || {
            for _ in 0..2 {
                assert_eq!(read(scene.path("secret/file")), Err(Errno::EACCES));
                assert_eq!(read(scene.path("open/file")), Ok("open/file".into()));
            }
        });
    }
}

pub fn whole_calls_are_asked_about(test: &str) {
    let scene = Scene::new();
    passes(test, &policy(&scene, Some(CLIENT), &["openat"]), || {
        assert_eq!(read(scene.path("secret/file")), Ok("secret/file".into()));
        assert_eq!(read(scene.path("secret/deep/file")), Err(Errno::ENOENT));
        assert_eq!(read(scene.path("open/denied")), Err(Errno::EACCES));
    });
    passes(test, &policy(&scene, None, &["openat"]), || {
        assert_eq!(read(scene.path("open/file")), Err(Errno::EACCES));
    });
}
