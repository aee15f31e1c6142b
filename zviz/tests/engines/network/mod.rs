//! The network section of a profile under engines that zviz is the runtime of, in a world that the test makes: engines run in
//! its host's namespace, and their containers have peers outside.

mod by_docker;
mod by_podman;
mod names;

use crate::internet::{Held, Internet, OTHER, WEB, wait_for};
use crate::support::{Done, ZVIZ, copied, processes};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What profiles are called, and what they say.
const PROFILES: &[(&str, &str)] = &[
    // One address and port, of each family.
    ("one", "network: {egress: {allow: ['tcp/203.0.113.10:80', '[2001:db8:113::10]:80']}}"),
    // The same for the broker, which knows no protocols.
    ("address", "network: {egress: {allow: ['203.0.113.10:80', '[2001:db8:113::10]:80']}}"),
    ("both", "network: {allow_cidrs: [203.0.113.0/24, '2001:db8:113::/64']}"),
    ("none-at-all", "network: {mode: none}"),
    ("names", "network: {allow_domains: ['web.example:80']}"),
    // Podman's zviz reads the machine's resolv.conf.
    ("served", "network: {allow_domains: ['web.example:80'], dns: {proxy: {upstream: '203.0.113.53:53'}}}"),
    ("asks", "network: {allow_cidrs: [203.0.113.0/24], dns: {allow: true}}"),
    ("keeps", "network: {allow_cidrs: [203.0.113.10/32]}\ncapabilities: {keep: [CAP_NET_ADMIN]}"),
];
const HOSTS: &[(&str, (&str, &str))] = &[("web.example", WEB), ("other.example", OTHER)];

/// A namespace each for the engine's host and for its containers' peers, profiles, and a zviz that finds them.
struct World {
    internet: Internet,
    _names: Held,
}

impl World {
    fn new() -> World {
        let internet = Internet::new();
        let scratch = &internet.scratch;
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["bin", "profiles"] {
            fs::create_dir(scratch.join(folder)).unwrap();
        }
        // A helper of the test's own is told from others by its path.
        for name in ["zviz", "zviz-net"] {
            copied(Path::new(ZVIZ).with_file_name(name), scratch.join("bin").join(name));
        }
        for (name, text) in PROFILES {
            let text = format!("name: {name}\nextends: default\n{text}\n");
            fs::write(scratch.join("profiles").join(format!("{name}.yaml")), text).unwrap();
        }
        fs::write(scratch.join("dns.py"), include_str!("../../network/dns.py")).unwrap();
        let mut command = internet.dns.command("python3");
        command.arg(scratch.join("dns.py")).arg(scratch.join("dns.log"));
        for (name, (four, six)) in HOSTS {
            command.args([format!("{name}={four}"), format!("{name}={six}")]);
        }
        let names = Held::start(&mut command);
        let world = World { internet, _names: names };
        wait_for("a server for names", || world.asked().is_some());
        world.runtime("zviz", None);
        for (name, _) in PROFILES {
            world.runtime(name, Some(name));
        }
        world
    }

    /// Questions that the server for names was asked: `web.example 28`.
    fn asked(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.internet.scratch.join("dns.log")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        lines.next().filter(|line| line == "ready")?;
        Some(lines.collect())
    }

    /// zviz on a host that gives containers this profile unless they name one.
    fn runtime(&self, name: &str, profile: Option<&str>) {
        let scratch = &self.internet.scratch;
        let mut policy = format!("annotations: {{folder: {}}}\n", scratch.join("profiles").display());
        if let Some(profile) = profile {
            policy.push_str(&format!("default_profile: {profile}\n"));
        }
        let config = scratch.join(format!("{name}.config"));
        fs::write(&config, policy).unwrap();
        self.program(
            name,
            &format!("exec {}/zviz --config {} \"$@\"", scratch.join("bin").display(), config.display()),
        );
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.at(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A runtime.
    fn at(&self, name: &str) -> PathBuf {
        self.internet.scratch.join(format!("as-{name}"))
    }

    /// What gives a container of busybox python3 and the programs of the test: volumes, as Docker and Podman are told of them.
    fn volumes(&self) -> Vec<String> {
        let folders = [("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64")].into_iter();
        let there = folders.filter(|(from, _)| Path::new(from).exists());
        let own = format!("--volume={}:/probe.py:ro", self.internet.probe());
        there.map(|(from, to)| format!("--volume={from}:{to}:ro")).chain([own]).collect()
    }

    /// Nothing of the network's is left: the host has no table, and no helper runs.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.internet.host.tables(), [""; 0]);
        let helper = self.internet.scratch.join("bin").join("./zviz-net");
        assert_eq!(processes(&[&*helper.to_string_lossy()]), [""; 0]);
    }

    /// Whether a helper stays beside a container.
    fn has_helper(&self) -> bool {
        let name = self.internet.scratch.join("bin/zviz-net");
        let mut programs =
            fs::read_dir("/proc").unwrap().flatten().map(|entry| fs::read_link(entry.path().join("exe")));
        programs.any(|program| program.is_ok_and(|program| program == name))
    }
}

/// Each peer by TCP and UDP of both families, what is guarded, and a port that no rule names.
const FLOWS: &[&str] = &[
    "tcp:203.0.113.10:80",
    "tcp:[2001:db8:113::10]:80",
    "udp:203.0.113.10:80",
    "tcp:203.0.113.10:443",
    "tcp:203.0.113.20:80",
    "tcp:[2001:db8:113::20]:80",
    "udp:203.0.113.20:80",
    "tcp:169.254.169.254:80",
    "tcp:10.99.0.1:80",
];
/// Of these, what the profile `one` lets through.
const ONE: &[&str] = &["tcp:203.0.113.10:80", "tcp:[2001:db8:113::10]:80"];

/// The command that tries flows inside.
fn attempt(flows: &[&'static str]) -> Vec<&'static str> {
    [&["/usr/bin/python3", "/probe.py"], flows].concat()
}

/// Of these flows, those that got an answer.
#[track_caller]
fn through(done: Done, flows: &[&str]) -> Vec<String> {
    let said = done.ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), flows.len(), "{said}");
    lines.iter().filter_map(|line| line.split_once(" ok ").map(|(flow, _)| flow.to_owned())).collect()
}
