//! One policy, four doors: a profile gives the same verdicts to `zviz run -- CMD`, to a bundle and what `exec` adds to it, to
//! Podman by an annotation, to Docker by the host's choice for a runtime, and to a program that uses the library.
//!
//! Docker takes annotations since version 25, and Debian 12 has an older one.

use super::daemon::Docker;
use crate::podman::Podman;
use crate::support::{ZVIZ, busybox_rootfs, requires, run};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower::Context;
use zviz_runtime::sandbox::Sandbox;
use zviz_runtime::store::{Root, Store};

/// Each attempt prints `y` where it succeeds, else `n`.
const ATTEMPTS: &str = "exec 2>/dev/null; r() { cat /etc/passwd | grep -q root; }; w() { echo > /tmp/w; }; c() { echo > /tmp/c && chmod 600 /tmp/c; }
x() { cp /bin/busybox /tmp/busybox && /tmp/busybox true; }; l() { test $(ulimit -n) -gt 64; }
for a in r w c x l; do if (eval $a); then printf y; else printf n; fi; done; echo";

/// A profile, what it says, and what becomes of reading, writing, chmod, executing and the number of files.
const PROFILES: &[(&str, &str, &str)] = &[
    ("plain", "", "yyyyy"),
    ("reads", "filesystem: {patterns: {deny_read: [passwd]}}", "nyyyy"),
    ("writes", "filesystem: {writable: [/var/tmp]}", "ynnny"),
    ("calls", "syscalls: {deny: [chmod, fchmod, fchmodat, fchmodat2]}", "yynyy"),
    ("executes", "filesystem: {executable: [/bin]}", "yyyny"),
    ("limits", "resources: {open_files: 64}", "yyyyn"),
    ("together", "extends: limits\nsyscalls: {deny: [chmod, fchmod, fchmodat, fchmodat2]}", "yynyn"),
];

struct Doors {
    folder: tempfile::TempDir,
}

impl Doors {
    fn new() -> Doors {
        let doors = Doors { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(doors.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["profiles", "bundle", "work", "config/zviz"] {
            fs::create_dir_all(doors.at(name)).unwrap();
        }
        symlink("../../profiles", doors.at("config/zviz/profiles")).unwrap();
        for (name, text, _) in PROFILES {
            let base = if text.contains("extends:") { "" } else { "extends: default\n" };
            fs::write(doors.at(&format!("profiles/{name}.yaml")), format!("name: {name}\n{base}{text}\n")).unwrap();
        }
        fs::write(doors.at("config.yaml"), format!("annotations: {{folder: {}}}\n", doors.at("profiles").display()))
            .unwrap();
        let plain = fs::read_to_string(doors.at("config.yaml")).unwrap();
        doors.wrapper("zviz", &plain);
        for (name, ..) in PROFILES {
            doors.wrapper(name, &format!("{plain}default_profile: {name}\n"));
        }
        busybox_rootfs(&doors.at("bundle/rootfs"));
        doors
    }

    /// zviz on a host that has this to say.
    fn wrapper(&self, name: &str, policy: &str) {
        let config = self.at(&format!("{name}-host.yaml"));
        fs::write(&config, policy).unwrap();
        let wrapper = self.at(name);
        fs::write(&wrapper, format!("#!/bin/sh\nexec {ZVIZ} --config {} \"$@\"\n", config.display())).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn zviz(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.at("zviz"));
        command.arg("--root").arg(self.at("root")).args(arguments).current_dir(self.at("work")).stdin(Stdio::null());
        command
    }

    fn by_run(&self, profile: &str) -> String {
        let rootfs = self.at("bundle/rootfs");
        let arguments = ["run", "--profile", profile, "--rootfs", rootfs.to_str().unwrap(), "--cwd", "/", "--"];
        let mut command = self.zviz(&arguments);
        // By name, as the others find it: one extends another.
        run(command.env("XDG_CONFIG_HOME", self.at("config")).args(["sh", "-c", ATTEMPTS])).ok()
    }

    fn spec(&self, profile: Option<&str>, args: &[&str]) {
        let path = self.at("bundle/config.json");
        let _ = fs::remove_file(&path);
        run(&mut self.zviz(&["spec", "--bundle", self.at("bundle").to_str().unwrap()])).ok();
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(args);
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]);
        spec["root"]["readonly"] = json!(false);
        if let Some(profile) = profile {
            spec["annotations"] = json!({"zviz.io/profile": profile});
        }
        fs::write(path, spec.to_string()).unwrap();
    }

    /// `create` and `start`, with what it prints in a file; then `exec` in another that sleeps.
    fn by_bundle(&self, profile: Option<&str>) -> (String, String) {
        let id = format!("doors-{}", std::process::id());
        let bundle = self.at("bundle");
        let create = |args: &[&str]| {
            self.spec(profile, args);
            let out = File::create(self.at("out")).unwrap();
            let mut command = self.zviz(&["create", "--bundle", bundle.to_str().unwrap(), &id]);
            assert!(command.stdout(out).stderr(Stdio::null()).status().unwrap().success());
            run(&mut self.zviz(&["start", &id])).ok();
        };
        create(&["sh", "-c", ATTEMPTS]);
        let end = Instant::now() + Duration::from_secs(20);
        while !run(&mut self.zviz(&["state", &id])).ok().contains("\"stopped\"") && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let started = fs::read_to_string(self.at("out")).unwrap().trim().to_owned();
        run(&mut self.zviz(&["delete", "--force", &id])).ok();
        self.clean();
        create(&["sleep", "100"]);
        let added = run(&mut self.zviz(&["exec", &id, "sh", "-c", ATTEMPTS])).ok();
        run(&mut self.zviz(&["delete", "--force", &id])).ok();
        self.clean();
        (started, added)
    }

    fn clean(&self) {
        for name in ["w", "c", "busybox"] {
            let _ = fs::remove_file(self.at("bundle/rootfs/tmp").join(name));
        }
    }

    /// A process with one thread: this program again, with the test below.
    fn by_library(&self, profile: &str) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "docker::doors::the_library", "--test-threads=1", "--nocapture", "--quiet"]);
        command.env(FOLDER, self.folder.path()).env("ZVIZ_DOORS_PROFILE", profile).current_dir(self.at("work"));
        let text = run(&mut command).ok();
        let line = text.lines().find(|line| line.len() == 5 && line.chars().all(|c| matches!(c, 'y' | 'n')));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

const FOLDER: &str = "ZVIZ_DOORS_FOLDER";

/// What the test below does in a process of its own; nothing by itself.
#[test]
fn the_library() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let name = std::env::var("ZVIZ_DOORS_PROFILE").unwrap();
    let profile = Search::in_folder(folder.join("profiles")).profile(&name, &Context::default()).unwrap();
    let store = Store::open(&Root::Given(folder.join("root"))).unwrap();
    println!();
    let mut sandbox = Sandbox::new(["sh", "-c", ATTEMPTS]);
    sandbox.rootfs(folder.join("bundle/rootfs").to_str().unwrap()).cwd("/").profile(profile);
    assert_eq!(sandbox.status(&store).unwrap().status(), 0);
}

fn by_docker(docker: &Docker, profile: Option<&str>) -> (String, String) {
    let runtime = format!("--runtime=of-{}", profile.unwrap_or("zviz"));
    let flags = [&*runtime, "--ulimit=nofile=1024:1024"];
    let started = docker.sh(&flags, ATTEMPTS).ok();
    let container = docker.background(&flags, "sleep 100");
    (started, container.exec(&[], ATTEMPTS).ok())
}

fn by_podman(podman: &Podman, profile: Option<&str>) -> (String, String) {
    let annotation = profile.map(|profile| format!("--annotation=zviz.io/profile={profile}"));
    let flags: Vec<&str> = annotation.as_deref().into_iter().collect();
    let started = podman.run(&[&["--rm"], &*flags].concat(), ATTEMPTS).ok();
    podman.run(&[&["--detach", "--name=door"], &*flags].concat(), "sleep 100").ok();
    let added = podman.cli(&["exec", "door", "sh", "-c", ATTEMPTS]).ok();
    podman.cli(&["rm", "--force", "--time=0", "door"]).ok();
    (started, added)
}

#[test]
fn one_policy_four_doors() {
    requires!(root, program "dockerd", program "containerd", program "docker", program "podman", program "busybox");
    let doors = Doors::new();
    let names = PROFILES.iter().map(|(name, ..)| *name).chain(["zviz"]);
    let runtimes: Vec<String> =
        names.map(|name| format!("--add-runtime=of-{name}={}", doors.at(name).display())).collect();
    let docker = Docker::start_with(&runtimes.iter().map(String::as_str).collect::<Vec<_>>());
    let podman = Podman::new(doors.at("zviz"));
    // The same attempts without a profile: nothing but a profile is in their way.
    for (started, added) in [doors.by_bundle(None), by_docker(&docker, None), by_podman(&podman, None)] {
        assert_eq!((&*started, &*added), ("yyyyy", "yyyyy"));
    }
    for (name, _, expected) in PROFILES {
        let pairs = [
            ("create and start", "exec", doors.by_bundle(Some(name))),
            ("docker run", "docker exec", by_docker(&docker, Some(name))),
            ("podman run", "podman exec", by_podman(&podman, Some(name))),
        ];
        let pairs = pairs.into_iter().flat_map(|(start, exec, verdicts)| [(start, verdicts.0), (exec, verdicts.1)]);
        for (door, verdicts) in pairs.chain([("run", doors.by_run(name)), ("library", doors.by_library(name))]) {
            assert_eq!(&*verdicts, *expected, "{name} by {door}");
        }
    }
}
