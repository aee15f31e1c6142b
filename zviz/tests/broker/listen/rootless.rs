//! An ordinary user's agent, for the user's own containers. Init belongs to the host until it executes its program, so that
//! such a container is entered at its first call.

use super::served::Runtime;
use crate::callers::Caller;
use crate::support::{Daemon, busybox_rootfs, processes, requires, run};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// As the broker is asked: a mount as large as the broker lets it be, the release, and that it is nobody else's right.
const SCRIPT: &str =
    "mount -t tmpfs -o size=100g tmpfs /tmp && df -k /tmp | tail -n1 | awk '{ print $2 }' || echo refused";

/// The agent goes first, since a user that runs something cannot be removed.
struct User {
    agent: Daemon,
    caller: Caller,
}

impl User {
    fn new(profile: &str) -> Self {
        let caller = Caller::new(false);
        busybox_rootfs(&caller.work.join("rootfs"));
        let mut command = caller.program("setpriv");
        let (uid, gid) = caller.ids();
        // The daemon's own start is root's.
        command.args([
            "--reuid",
            &uid.to_string(),
            "--regid",
            &gid.to_string(),
            "--clear-groups",
            "--pdeathsig",
            "TERM",
        ]);
        command.arg(caller.place.path().join("zviz")).args(["--debug", "broker", "--profile", profile, "--listen"]);
        command.arg(caller.work.join("socket")).arg("--pid-file").arg(caller.work.join("pid"));
        let mut agent = Daemon::start(&command, &caller.place.path().join("log"));
        agent.wait_until("the agent", || caller.work.join("pid").exists());
        User { agent, caller }
    }

    fn bundle(&self, calls: &[&str], capabilities: &[&str]) -> PathBuf {
        let folder = &self.caller.work;
        let _ = fs::remove_file(folder.join("config.json"));
        let zviz = self.caller.place.path().join("zviz");
        run(self.caller.program(zviz).args(["spec", "--rootless", "--bundle"]).arg(folder)).ok();
        let file = folder.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        spec["ociVersion"] = json!("1.0.2");
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", SCRIPT]);
        super::served::with_capabilities(&mut spec, capabilities);
        let rule = json!([{ "names": calls, "action": "SCMP_ACT_NOTIFY" }]);
        let seccomp = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": folder.join("socket"), "syscalls": rule
        });
        spec["linux"]["seccomp"] = seccomp;
        fs::write(file, spec.to_string()).unwrap();
        folder.clone()
    }

    fn says(&self, runtime: Runtime, bundle: &PathBuf) -> String {
        let program = match runtime {
            Runtime::Zviz => self.caller.place.path().join("zviz"),
            Runtime::Runc => "runc".into(),
            Runtime::Crun => "crun".into(),
        };
        let mut command = self.caller.program(program);
        command.arg("--root").arg(self.caller.home.join(format!("{runtime:?}"))).args(["run", "--bundle"]);
        run(command.arg(bundle).arg("own")).ok()
    }
}

#[test]
fn an_ordinary_users_containers_are_served() {
    requires!(root, program "busybox", program "runc", program "setpriv", program "useradd");
    let user = User::new("nested");
    let mounts = super::rights::MOUNTS;
    for runtime in [Runtime::Zviz, Runtime::Runc] {
        let may = user.bundle(mounts, &["CAP_SYS_ADMIN"]);
        assert_eq!(user.says(runtime, &may), "524288", "{runtime:?}: {}", user.agent.log_end());
        let may_not = user.bundle(mounts, &["CAP_CHOWN"]);
        assert_eq!(user.says(runtime, &may_not), "refused", "{runtime:?}");
    }
    let User { agent, caller } = user;
    drop(agent);
    assert_eq!(processes(&[&caller.place.path().to_string_lossy()]), [""; 0]);
}
