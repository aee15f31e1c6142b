//! Podman: by annotations, in a namespace that others have made, as CNI, and on the host's network.

use super::{FLOWS, ONE, World, attempt, through};
use crate::internet::Space;
use crate::podman::Podman;
use crate::support::{Done, requires};

struct Engine {
    world: World,
    pod: Space,
    podman: Podman,
}

impl Engine {
    fn new() -> Engine {
        let world = World::new();
        let pod = world.internet.member("pod", 77);
        let podman = Podman::within(Some(world.internet.host.path()), world.at("zviz"));
        Engine { world, pod, podman }
    }

    /// `podman run` in this network, with annotations.
    fn run(&self, network: &str, flags: &[&str], given: &[(&str, &str)], command: &[&str]) -> Done {
        let own = ["run", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--log-driver=k8s-file"];
        let volumes = self.world.volumes();
        let given = given.iter().map(|(key, value)| format!("--annotation=zviz.io/{key}={value}"));
        let more: Vec<String> = volumes.into_iter().chain(given).chain([format!("--network={network}")]).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        self.podman.cli(&[&own, flags, &*more, &["box"], command].concat())
    }

    fn in_pod(&self, flags: &[&str], given: &[(&str, &str)], command: &[&str]) -> Done {
        self.run(&format!("ns:{}", self.pod.path().display()), flags, given, command)
    }

    #[track_caller]
    fn reaches(&self, given: &[(&str, &str)]) -> Vec<String> {
        let reached = through(self.in_pod(&["--rm"], given, &attempt(FLOWS)), FLOWS);
        self.is_clean();
        reached
    }

    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.pod.tables(), [""; 0]);
        self.world.is_clean();
    }
}

fn one_address(engine: &Engine) {
    assert_eq!(engine.reaches(&[]), FLOWS, "without a profile");
    let before = engine.world.internet.other.seen().len();
    assert!(before > 0);
    assert_eq!(engine.reaches(&[("profile", "one")]), ONE);
    assert_eq!(engine.world.internet.other.seen().len(), before);
    assert_eq!(engine.reaches(&[("profile", "both")]), FLOWS[..7]);
    for (profile, policy) in [("both", "one"), ("one", "both")] {
        assert_eq!(engine.reaches(&[("profile", profile), ("network-policy", policy)]), ONE, "{profile} and {policy}");
    }
}

fn exec_and_removal(engine: &Engine) {
    let name = "held";
    for end in [&["rm", "--force", "--time=0"][..], &["kill"]] {
        engine.in_pod(&["--detach", &format!("--name={name}")], &[("profile", "one")], &["sleep", "1000"]).ok();
        let reached = engine.podman.cli(&[&["exec", name], &*attempt(FLOWS)].concat());
        assert_eq!(through(reached, FLOWS), ONE);
        assert_eq!(engine.pod.tables().len(), 1);
        engine.podman.cli(&[end, &[name]].concat()).ok();
        engine.podman.cli(&["rm", "--force", "--time=0", "--ignore", name]).ok();
        engine.is_clean();
    }
    // By name, with a helper beside it.
    let resolves =
        "import socket; print(sorted(a[4][0] for a in socket.getaddrinfo('web.example', 80, type=socket.SOCK_STREAM)))";
    engine.in_pod(&["--detach", &format!("--name={name}")], &[("profile", "served")], &["sleep", "1000"]).ok();
    assert!(engine.world.has_helper());
    let said = engine.podman.cli(&["exec", name, "/usr/bin/python3", "-c", resolves]).ok();
    assert_eq!(said, "['2001:db8:113::10', '203.0.113.10']");
    engine.podman.cli(&["rm", "--force", "--time=0", name]).ok();
    engine.is_clean();
}

fn what_cannot_be_held_is_refused(engine: &Engine) {
    let admin = "--cap-add=NET_ADMIN";
    engine.in_pod(&["--rm", admin], &[], &["true"]).ok();
    engine.in_pod(&["--rm"], &[("profile", "keeps")], &["true"]).ok();
    let done = engine.in_pod(&["--rm", admin], &[("profile", "keeps")], &["true"]);
    assert!(done.code != 0 && done.err.contains("CAP_NET_ADMIN could change or leave the network"), "{done}");
    engine.run("host", &["--rm"], &[], &["true"]).ok();
    for (profile, key) in [("names", "network.allow_domains"), ("one", "network.egress.allow:")] {
        let done = engine.run("host", &["--rm"], &[("profile", profile)], &["true"]);
        assert!(done.code != 0 && done.err.contains(key), "{done}");
        assert!(done.err.contains("needs a network of the container's own (--net private;"), "{done}");
    }
    let flows = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80"];
    let done = engine.run("host", &["--rm"], &[("profile", "address")], &attempt(&flows));
    assert_eq!(through(done, &flows), flows[..1], "by the broker");
    engine.is_clean();
}

#[test]
fn rules_hold_under_podman() {
    requires!(root, program "podman", program "conmon", program "busybox", program "setpriv", program "ip",
        program "nft", program "python3");
    let engine = Engine::new();
    cases!(&engine, one_address, exec_and_removal, what_cannot_be_held_is_refused);
}
