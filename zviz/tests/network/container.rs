//! Containers of bundles in the test's world: the host's /usr, python3 and the program that tries flows.

use super::internet::{Internet, Space};
use super::support::{Done, run};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A bundle, with an id that no other test has.
pub struct Container<'i> {
    internet: &'i Internet,
    bundle: PathBuf,
    pub id: String,
    /// The binary, unless a test may spoil it.
    pub binary: PathBuf,
}

impl<'i> Container<'i> {
    /// One whose network namespace is new, and which has no profile.
    pub fn new(internet: &'i Internet, name: &str) -> Container<'i> {
        let bundle = internet.scratch.join(name);
        for folder in ["usr", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(bundle.join("rootfs").join(folder)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{link}"), bundle.join("rootfs").join(link)).unwrap();
        }
        fs::write(bundle.join("rootfs/probe.py"), fs::read(internet.probe()).unwrap()).unwrap();
        let id = format!("{}-{name}", internet.scratch.name());
        let container = Container { internet, bundle, id, binary: super::support::ZVIZ.into() };
        let made = run(container.zviz(&["spec"]).arg("--bundle").arg(&container.bundle));
        made.ok();
        container.edit(|spec| {
            spec["process"]["terminal"] = json!(false);
            let usr = json!({ "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] });
            spec["mounts"].as_array_mut().unwrap().push(usr);
            spec["linux"]["sysctl"] = json!({ "net.ipv4.ping_group_range": "0 0" });
        });
        container
    }

    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.bundle.join("config.json");
        let mut spec = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        fs::write(path, spec.to_string()).unwrap();
    }

    /// In this namespace, as a pod's or CNI's.
    pub fn joins(self, space: &Space) -> Self {
        let path = space.path();
        self.edit(|spec| {
            let list = spec["linux"]["namespaces"].as_array_mut().unwrap();
            list.iter_mut().find(|one| one["type"] == "network").unwrap()["path"] = json!(path);
            // Its parameters are the pod's.
            spec["linux"]["sysctl"] = json!({});
        });
        space.shell("echo 0 0 >/proc/sys/net/ipv4/ping_group_range");
        self
    }

    /// In a new one, which a hook fills.
    pub fn hooked(self, device: &str, last: u8) -> Self {
        let hook = self.internet.hook(device, last);
        self.edit(|spec| spec["hooks"] = json!({ "createRuntime": [hook] }));
        self
    }

    /// Under a profile, by annotation.
    pub fn profile(self, yaml: &str) -> Self {
        self.annotated("profile", yaml)
    }

    /// With what a profile says of the network, and nothing else of it.
    pub fn policy(self, yaml: &str) -> Self {
        self.annotated("network-policy", yaml)
    }

    fn annotated(self, key: &str, yaml: &str) -> Self {
        let folder = self.internet.scratch.join("profiles");
        fs::create_dir_all(&folder).unwrap();
        let name = format!("{}-{key}", self.bundle.file_name().unwrap().to_string_lossy());
        fs::write(folder.join(format!("{name}.yaml")), format!("name: {name}\nextends: default\n{yaml}")).unwrap();
        let audit = format!("audit: {{always: true, file: {}}}\n", self.internet.scratch.join("audit").display());
        fs::write(self.config(), format!("annotations: {{folder: {}}}\n{audit}", folder.display())).unwrap();
        self.edit(|spec| spec["annotations"][format!("zviz.io/{key}")] = json!(name));
        self
    }

    pub fn capabilities(self, names: &[&str]) -> Self {
        self.edit(|spec| {
            let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(names)));
            spec["process"]["capabilities"] = Value::Object(sets.into_iter().collect());
        });
        self
    }

    fn config(&self) -> PathBuf {
        self.internet.scratch.join("config.yaml")
    }

    /// The binary on the test's host.
    pub fn zviz(&self, arguments: &[&str]) -> Command {
        let mut command = self.internet.on_host(&self.binary);
        command.arg("--root").arg(self.internet.scratch.join("root"));
        if self.config().exists() {
            command.arg("--config").arg(self.config());
        }
        command.args(arguments);
        command
    }

    fn of_program(&self, arguments: &[&str]) {
        self.edit(|spec| spec["process"]["args"] = json!(arguments));
    }

    /// Runs a program to its end.
    pub fn runs(&self, arguments: &[&str]) -> Done {
        self.of_program(arguments);
        run(self.zviz(&["run", "--bundle"]).arg(&self.bundle).arg(&self.id))
    }

    /// What becomes of flows, tried from inside: those that get through.
    #[track_caller]
    pub fn reaches(&self, flows: &[&str]) -> Vec<String> {
        let out = self.runs(&[&["/usr/bin/python3", "/probe.py"], flows].concat()).ok();
        through(&out, flows)
    }

    /// The same from a container that runs, by `exec`.
    #[track_caller]
    pub fn reaches_by_exec(&self, flows: &[&str]) -> Vec<String> {
        let words = [&["exec", &self.id, "/usr/bin/python3", "/probe.py"], flows].concat();
        through(&run(&mut self.zviz(&words)).ok(), flows)
    }

    /// Creates and starts one that waits.
    #[track_caller]
    pub fn starts(&self) {
        self.creates();
        run(&mut self.zviz(&["start", &self.id])).ok();
    }

    /// Creates one that would wait.
    #[track_caller]
    pub fn creates(&self) {
        self.of_program(&["/usr/bin/sleep", "1000"]);
        let mut command = self.zviz(&["create", "--bundle"]);
        command.arg(&self.bundle).arg(&self.id);
        // Init keeps standard output and error.
        let log = fs::File::create(self.bundle.join("log")).unwrap();
        let streams = (Stdio::from(log.try_clone().unwrap()), Stdio::from(log));
        let status = command.stdin(Stdio::null()).stdout(streams.0).stderr(streams.1).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.bundle.join("log")).unwrap());
    }

    #[track_caller]
    pub fn deletes(&self) {
        run(&mut self.zviz(&["delete", "--force", &self.id])).ok();
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // What a failed test leaves.
        let _ = self.zviz(&["delete", "--force", &self.id]).stderr(Stdio::null()).status();
    }
}

/// Of these flows, those that got an answer.
fn through(said: &str, flows: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), flows.len(), "{said}");
    let passed = lines.iter().filter_map(|line| line.split_once(" ok ").map(|(flow, _)| flow.to_owned()));
    passed.collect()
}
