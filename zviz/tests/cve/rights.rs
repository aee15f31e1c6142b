//! Rights, identities and modes that a payload must not inherit.

use crate::support::{bundle, missing, skip};
use serde_json::json;
use std::process::{Command, Stdio};

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {status}"));
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// CVE-2022-29162, CVE-2022-24769: inheritable capabilities, which a file's can turn into permitted ones.
#[test]
fn cve_2022_29162() {
    let Some(bundle) = bundle("29162", &["cat", "/proc/self/status"]) else { return };
    if let Some(missing) = missing(&["setpriv"]) {
        return skip("cve_2022_29162", &format!("{missing} is not installed"));
    }
    bundle.edit(|spec| {
        let sets = spec["process"]["capabilities"].as_object_mut().unwrap();
        sets.remove("inheritable");
        sets.remove("ambient");
    });
    let generous = |program: Command| {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps", "+chown,+sys_admin", "--ambient-caps", "+chown"]);
        command.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut plain = Command::new("cat");
    plain.arg("/proc/self/status");
    let control = generous(plain);
    assert_eq!(field(&control, "CapInh:"), "0000000000200001", "control");
    assert_eq!(field(&control, "CapAmb:"), "0000000000000001", "control");

    let run = generous(bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]));
    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    let exec = generous(bundle.command(&["exec", &bundle.name, "cat", "/proc/self/status"]));
    let added = generous(bundle.command(&["exec", "--cap", "CAP_CHOWN", &bundle.name, "cat", "/proc/self/status"]));
    for status in [&run, &exec, &added] {
        assert_eq!(field(status, "CapInh:"), "0000000000000000");
        assert_eq!(field(status, "CapAmb:"), "0000000000000000");
    }
    assert_eq!(field(&added, "CapPrm:").as_bytes()[15] & 1, 1, "control: it was added");
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

/// CVE-2022-36109, CVE-2023-25173: groups of the caller, which a payload's rights would grow by.
#[test]
fn groups_are_the_specs() {
    let Some(bundle) = bundle("groups", &["true"]) else { return };
    if let Some(missing) = missing(&["setpriv"]) {
        return skip("groups_are_the_specs", &format!("{missing} is not installed"));
    }
    for (user, want) in [
        (json!({ "uid": 1000, "gid": 1000 }), "1000\n"),
        (json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] }), "1000 7\n"),
    ] {
        bundle.edit(|spec| {
            spec["process"]["user"] = user;
            spec["process"]["args"] = json!(["busybox", "id", "-G"]);
        });
        let with_groups = |program: &Command| {
            let mut command = Command::new("setpriv");
            command.args(["--groups", "4242,4243"]).arg(program.get_program()).args(program.get_args());
            String::from_utf8(command.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
        };
        let mut plain = Command::new("id");
        assert!(with_groups(plain.arg("-G")).contains("4242"), "control");
        assert_eq!(with_groups(&bundle.command(&["run", "--bundle", bundle.path(), &bundle.name])), want);
    }
    bundle.leaves_nothing();
}

/// Init itself needs umask 0, to make what the spec asks for: a payload that kept it would make files that all may write.
#[test]
fn the_umask_is_not_inits() {
    let Some(bundle) = bundle("umask", &["true"]) else { return };
    assert_eq!(bundle.script("umask"), "0022\n");
    bundle.edit(|spec| spec["process"]["user"]["umask"] = json!(0o007));
    assert_eq!(bundle.script("umask"), "0007\n", "control");
    bundle.leaves_nothing();
}

/// A file that the caller has redirected from stays the caller's: with its owner, the payload would get the right to
/// change it. A pipe is given, so that /dev/stdout can be opened.
#[test]
fn redirected_files_keep_their_owner() {
    let Some(bundle) = bundle("owner", &["echo", "written"]) else { return };
    bundle.edit(|spec| spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }));
    assert_eq!(bundle.script("echo through >/dev/stdout; busybox stat -Lc %u /proc/self/fd/1"), "through\n1000\n");
    std::fs::write(bundle.file("secret"), "secret").unwrap();
    bundle.edit(|spec| spec["process"]["args"] = json!(["echo", "written"]));
    let secret = std::fs::OpenOptions::new().append(true).open(bundle.file("secret")).unwrap();
    let mut run = bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]);
    assert!(run.stdout(secret).status().unwrap().success());
    let metadata = std::fs::metadata(bundle.file("secret")).unwrap();
    assert_eq!(std::os::linux::fs::MetadataExt::st_uid(&metadata), 0);
    assert_eq!(std::fs::read_to_string(bundle.file("secret")).unwrap(), "secretwritten\n", "control");
    bundle.leaves_nothing();
}
