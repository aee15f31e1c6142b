//! CVE-2019-5736: the runtime's own binary, written through /proc/PID/exe of a process of its that is in the container.
//!
//! `#!/proc/self/exe` as the first line of a program makes the kernel execute the runtime again, inside, with arguments of
//! the attacker's choice; `exec --process FIFO` makes it stay there.

use crate::support::{Bundle, bundle};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Opens the executable of process $1 to read, and then to write by way of that, while it runs and after it was killed.
const WRITE: &str = "exec 3</proc/$1/exe || exit 1; for i in 1 2 3 4 5 6 7 8 9 10; do \
    echo spoilt >/proc/self/fd/3 && echo written && exit; kill -9 $1; busybox usleep 50000; done";

/// The runtime, started as this, stays inside until it is killed.
const LURE: &str = "#!/proc/self/exe --log\n";
const ARGUMENTS: [&str; 4] = ["exec", "--process", "/fifo", "x"];

/// A container whose root may do much, so that it is the sealing alone that keeps it from the binary; with a copy of
/// the runtime that may be spoilt.
fn prey(name: &str) -> Option<Bundle> {
    let mut bundle = bundle(name, &["sleep", "1000"])?;
    let copy = bundle.file("zviz");
    // By another process: while this one wrote it, a child that another test starts would hold it open (ETXTBSY).
    let copied = std::process::Command::new("cp").args([env!("CARGO_BIN_EXE_zviz"), &copy]).status();
    assert!(copied.unwrap().success());
    bundle.binary = copy.into();
    bundle.edit(|spec| {
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] =
                json!(["CAP_SYS_PTRACE", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        }
        spec["root"]["readonly"] = json!(false);
        spec["linux"].as_object_mut().unwrap().remove("seccomp");
    });
    executable(&bundle, "lure", LURE);
    let made = std::process::Command::new("mkfifo").arg(bundle.rootfs("fifo")).status();
    assert!(made.unwrap().success());
    Some(bundle)
}

fn executable(bundle: &Bundle, name: &str, text: &str) {
    std::fs::write(bundle.rootfs(name), text).unwrap();
    std::fs::set_permissions(bundle.rootfs(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

impl Bundle {
    fn script_inside(&self, script: &str, argument: &str) -> String {
        let output = self.zviz(&["exec", &self.name, "sh", "-c", &format!("exec 2>&1; {script}"), "sh", argument]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The number, inside, of a process other than process 1 and what is the container's own.
    fn find(&self, executable: &str) -> String {
        let script = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(busybox readlink $p/exe); done";
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let list = self.script_inside(script, "");
            let mut lines = list.lines().filter_map(|line| line.split_once(' '));
            if let Some((pid, _)) = lines.rfind(|(pid, exe)| *pid != "1" && *exe == executable) {
                return pid.to_owned();
            }
            assert!(Instant::now() < deadline, "no {executable} among:\n{list}");
        }
    }

    fn spawn_inside(&self, command: &[&str]) -> std::process::Child {
        let mut exec = self.command(&["exec", &self.name]);
        exec.args(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn is_spoilt(path: impl AsRef<Path>) -> bool {
    std::fs::read(path).unwrap().starts_with(b"spoilt")
}

/// The attack as it works on a program that is not sealed: one of the host's, shared with the container.
fn control(bundle: &Bundle) {
    let mut child = bundle.spawn_inside(&["/tool/busybox", "sleep", "1000"]);
    let pid = bundle.find("/tool/busybox");
    let said = bundle.script_inside(WRITE, &pid);
    child.wait().unwrap();
    assert!(said.contains("busy") && said.ends_with("written\n"), "control: {said}");
    assert!(is_spoilt(bundle.file("tool/busybox")), "control");
}

fn refused(bundle: &Bundle, pid: &str) {
    let said = bundle.script_inside(WRITE, pid);
    assert!(said.contains("Read-only file system") && !said.contains("written"), "{said}");
    // Nor through a mount of it that could be made writable.
    let mounted = bundle.script_inside("touch /x; busybox mount -o bind /proc/$1/exe /x && echo mounted", pid);
    assert!(!mounted.contains("mounted\n"), "{mounted}");
    assert!(!is_spoilt(&bundle.binary));
}

#[test]
fn cve_2019_5736_exec() {
    let Some(bundle) = prey("5736e") else { return };
    let tool = bundle.folder("tool");
    std::fs::copy(bundle.rootfs("bin/busybox"), format!("{tool}/busybox")).unwrap();
    bundle.edit(|spec| {
        let mount = json!({ "destination": "/tool", "source": tool, "type": "bind", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    bundle.create();
    // While init waits for `start`, it is the runtime.
    refused(&bundle, "1");
    bundle.ok(&["start", &bundle.name]);
    control(&bundle);
    let bound = bundle.script_inside("touch /y; busybox mount -o bind /bin/busybox /y && echo mounted", "");
    assert_eq!(bound, "mounted\n", "control: it may mount");

    let mut child = bundle.spawn_inside(&[&["/lure"], &ARGUMENTS[..]].concat());
    let pid = bundle.find("/");
    refused(&bundle, &pid);
    child.wait().unwrap();
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

#[test]
fn cve_2019_5736_run() {
    let Some(bundle) = prey("5736r") else { return };
    bundle.edit(|spec| spec["process"]["args"] = json!([&["/lure"], &ARGUMENTS[..]].concat()));
    let mut run = bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while bundle.script_inside("busybox readlink /proc/1/exe", "") != "/\n" {
        assert!(Instant::now() < deadline);
    }
    refused(&bundle, "1");
    bundle.ok(&["delete", "--force", &bundle.name]);
    run.wait().unwrap();
    bundle.leaves_nothing();
}

/// `start` starts programs of the image itself where there are startContainer hooks.
#[test]
fn cve_2019_5736_hook() {
    let Some(bundle) = prey("5736h") else { return };
    let args: Vec<&str> = [&["/lure"], &ARGUMENTS[..]].concat();
    bundle.edit(|spec| spec["hooks"] = json!({ "startContainer": [{ "path": "/lure", "args": args }] }));
    bundle.create();
    let mut start = bundle.command(&["start", &bundle.name]).stderr(Stdio::null()).spawn().unwrap();
    let pid = bundle.find("/");
    refused(&bundle, &pid);
    assert!(!start.wait().unwrap().success(), "its hook was killed");
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}
