//! Docker: by the host's choice for a runtime, and by annotations.

use super::{FLOWS, ONE, World, attempt, names, through};
use crate::docker::{Container, Docker};
use crate::internet::path_of;
use crate::support::{Done, program, requires, run};
use std::process::Command;

/// Adds annotations that the container's environment names: what Docker does for `--annotation` since version 25.
const ANNOTATED: &str = r#"for word; do test "$before" = --bundle && bundle=$word; before=$word; done
test -z "$bundle" || python3 - "$bundle/config.json" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    spec = json.load(file)
given = [word.split("=", 1) for word in spec["process"]["env"] if word.startswith("zviz.io/")]
spec["annotations"] = {**(spec.get("annotations") or {}), **dict(given)}
with open(sys.argv[1], "w") as file:
    json.dump(spec, file)
END
"#;

/// A daemon on the world's host, whose bridges are routed to and from the world.
pub struct Daemon {
    pub world: World,
    pub docker: Docker,
    /// Whether client and daemon know `--annotation`.
    annotates: bool,
}

impl Daemon {
    fn start() -> Daemon {
        let world = World::new();
        let zviz = format!("exec {} \"$@\"", world.at("zviz").display());
        world.program("annotated", &format!("{ANNOTATED}{zviz}"));
        let (host, core) = (&world.internet.host, &world.internet.core);
        host.shell("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
        core.ip("route add 172.29.0.0/16 via 198.51.100.2");
        core.ip("-6 route add 2001:db8:d0c::/48 via 2001:db8:51::2");
        let flags = ["--bip=172.29.0.1/24", "--ipv6", "--fixed-cidr-v6=2001:db8:d0c::/64"].map(str::to_owned);
        let names = super::PROFILES.iter().map(|(name, _)| *name).chain(["annotated"]);
        let runtimes = names.map(|name| format!("--add-runtime={name}={}", world.at(name).display()));
        // The default one, instead of the build's own.
        let plain =
            [format!("--add-runtime=plain={}", world.at("zviz").display()), "--default-runtime=plain".to_owned()];
        let flags: Vec<String> = flags.into_iter().chain(runtimes).chain(plain).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let docker = Docker::start_by(world.internet.on_host(&program("dockerd").unwrap()), &flags);
        let client = docker.cli(&["run", "--help"]).ok().contains("--annotation");
        let version = docker.cli(&["version", "--format", "{{.Server.Version}}"]).ok();
        let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        let own = ["--ipv6", "--subnet=172.29.1.0/24", "--subnet=2001:db8:d0c:1::/64"];
        docker.cli(&[&["network", "create"], &own[..], &["own"]].concat()).ok();
        Daemon { world, docker, annotates: client && major >= 25 }
    }

    /// Flags that give a container these annotations.
    fn annotations(&self, given: &[(&str, &str)]) -> Vec<String> {
        let (runtime, flag) = if self.annotates { ("plain", "annotation") } else { ("annotated", "env") };
        let each = given.iter().map(|(key, value)| format!("--{flag}=zviz.io/{key}={value}"));
        [format!("--runtime={runtime}")].into_iter().chain(each).collect()
    }

    /// `docker run` at its bridge, or where the flags say, with what the test's programs need.
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Done {
        let volumes = self.world.volumes();
        let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
        self.docker.run(&[&bridge(flags), flags, &*volumes].concat(), command)
    }

    pub fn background(&self, flags: &[&str]) -> Container<'_> {
        let volumes = self.world.volumes();
        let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();
        self.docker.background(&[&bridge(flags), flags, &*volumes].concat(), "sleep 1000")
    }

    #[track_caller]
    fn reaches(&self, flags: &[&str]) -> Vec<String> {
        through(self.run(flags, &attempt(FLOWS)), FLOWS)
    }
}

fn bridge(flags: &[&str]) -> Vec<&'static str> {
    if flags.iter().any(|flag| flag.starts_with("--network")) { Vec::new() } else { vec!["--network=bridge"] }
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

fn one_address(daemon: &Daemon) {
    assert_eq!(daemon.reaches(&[]), FLOWS, "without a profile");
    let before = daemon.world.internet.other.seen().len();
    assert!(before > 0);
    for network in ["--network=bridge", "--network=own"] {
        assert_eq!(daemon.reaches(&["--runtime=one", network]), ONE, "{network}");
    }
    let annotated = daemon.annotations(&[("profile", "one")]);
    assert_eq!(daemon.reaches(&words(&annotated)), ONE, "{annotated:?}");
    assert_eq!(daemon.world.internet.other.seen().len(), before, "{:?}", daemon.world.internet.other.seen());
    // The control of the annotations themselves.
    assert_eq!(daemon.reaches(&words(&daemon.annotations(&[]))), FLOWS);
    daemon.world.is_clean();
}

fn exec_is_held(daemon: &Daemon) {
    let by_exec = |flags: &[&str]| {
        let container = daemon.background(flags);
        let words = [&["exec", &*container.id], &*attempt(FLOWS)].concat();
        let plain = through(daemon.docker.cli(&words), FLOWS);
        let privileged = daemon.docker.cli(&[&["exec", "--privileged", &*container.id], &*attempt(FLOWS)].concat());
        (plain, privileged)
    };
    let (plain, privileged) = by_exec(&[]);
    assert_eq!(
        (plain, through(privileged, FLOWS)),
        (FLOWS.iter().map(|f| (*f).to_owned()).collect(), FLOWS.iter().map(|f| (*f).to_owned()).collect())
    );
    let (held, privileged) = by_exec(&["--runtime=one"]);
    assert_eq!(held, ONE);
    // With rights that would be worth something it is refused; without them it is held like all else.
    if privileged.code == 0 {
        assert_eq!(through(privileged, FLOWS), ONE);
    } else {
        assert!(privileged.to_string().contains("could change or leave the network"), "{privileged}");
    }
}

fn a_second_policy_only_tightens(daemon: &Daemon) {
    let reaches = |given: &[(&str, &str)]| daemon.reaches(&words(&daemon.annotations(given)));
    let both = reaches(&[("profile", "both")]);
    assert_eq!(both, FLOWS[..7], "all of one network");
    for (profile, policy) in [("both", "one"), ("one", "both"), ("one", "one")] {
        assert_eq!(reaches(&[("profile", profile), ("network-policy", policy)]), ONE, "{profile} and {policy}");
    }
    // Names and addresses: what only one of them lets through is refused.
    assert_eq!(reaches(&[("profile", "names"), ("network-policy", "one")]), [""; 0]);
    // No network, at a bridge that the engine fills the namespace with.
    assert_eq!(reaches(&[("profile", "none-at-all")]), [""; 0]);
    assert_eq!(reaches(&[("profile", "both"), ("network-policy", "none")]), [""; 0]);
    assert_eq!(reaches(&[("network-policy", "none")]), [""; 0]);
}

fn rights_over_it_are_refused(daemon: &Daemon) {
    let admin = "--cap-add=NET_ADMIN";
    let sees = |flags: &[&str]| daemon.run(flags, &["sh", "-c", "grep CapBnd /proc/self/status"]);
    // The controls: without rules it is had, without the right it starts, and a profile that keeps nothing takes it away.
    let mask = |done: Done| u64::from_str_radix(done.ok().trim_start_matches("CapBnd:").trim(), 16).unwrap() & 1 << 12;
    assert_ne!(mask(sees(&[admin])), 0);
    assert_eq!(mask(sees(&["--runtime=keeps"])), 0);
    assert_eq!(mask(sees(&["--runtime=one", admin])), 0);
    let done = sees(&["--runtime=keeps", admin]);
    assert!(done.code != 0 && done.err.contains("CAP_NET_ADMIN could change or leave the network"), "{done}");
    assert!(done.err.contains("--cap-drop"), "{done}");
    let done = sees(&["--runtime=keeps", "--privileged"]);
    assert!(done.code != 0 && done.err.contains("CAP_NET_ADMIN could change or leave the network"), "{done}");
    daemon.world.is_clean();
}

fn the_hosts_network(daemon: &Daemon) {
    let host = "--network=host";
    let flows = ["tcp:203.0.113.10:80", "tcp:[2001:db8:113::10]:80", "tcp:203.0.113.20:80"];
    let reaches = |flags: &[&str]| through(daemon.run(flags, &attempt(&flows)), &flows);
    assert_eq!(reaches(&[host]), flows);
    // By the broker.
    assert_eq!(reaches(&[host, "--runtime=address"]), flows[..2]);
    for (runtime, key) in [("names", "network.allow_domains"), ("one", "network.egress.allow:")] {
        let done = daemon.run(&[host, &format!("--runtime={runtime}")], &["true"]);
        assert!(done.code != 0 && done.err.contains(key), "{done}");
        assert!(done.err.contains("needs a network of the container's own (--net private;"), "{done}");
    }
    daemon.world.is_clean();
}

fn removal_leaves_nothing(daemon: &Daemon) {
    let tables = |container: &Container| {
        let net = format!("--net=/proc/{}/ns/net", container.field(".State.Pid"));
        run(Command::new("nsenter").args([&net, &path_of("nft"), "list", "tables"])).ok()
    };
    // Another one's network: rules go with their container, and the namespace stays.
    let first = daemon.background(&[]);
    assert_eq!(tables(&first), "");
    let second = daemon.background(&["--runtime=names", &format!("--network=container:{}", first.id)]);
    assert_eq!((tables(&first).lines().count(), daemon.world.has_helper()), (1, true));
    second.cli(&["rm", "--force"]).ok();
    assert_eq!(tables(&first), "");
    daemon.world.is_clean();
    first.cli(&["rm", "--force"]).ok();
    // Its own, by every way to end it.
    for end in [&["rm", "--force"][..], &["kill"], &["stop", "--time=0"]] {
        let container = daemon.background(&["--runtime=names"]);
        assert_eq!((tables(&container).lines().count(), daemon.world.has_helper()), (1, true));
        container.cli(end).ok();
        daemon.world.is_clean();
    }
}

#[test]
fn rules_hold_under_docker() {
    requires!(root, program "dockerd", program "containerd", program "docker", program "busybox", program "setpriv",
        program "ip", program "nft", program "python3", program "iptables");
    let daemon = Daemon::start();
    cases!(
        &daemon,
        one_address,
        exec_is_held,
        a_second_policy_only_tightens,
        rights_over_it_are_refused,
        the_hosts_network,
        removal_leaves_nothing,
        names::of_allowed_hosts,
        names::engines_own,
    );
}
