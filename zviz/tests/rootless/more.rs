//! What takes more than one's own user id: subordinate ids, a terminal, an agent, hooks.

use super::Rootless;
use crate::support::{requires, run};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

/// The first of the user's subordinate ids in /etc/subuid or /etc/subgid; useradd(8) gives 65,536 where it is set up to.
fn first_subordinate(user: &str, file: &str, flag: &str) -> u32 {
    let find = || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':').map(str::to_owned))?;
        line.split(':').next()?.parse().ok()
    };
    find().unwrap_or_else(|| {
        run(Command::new("usermod").args([flag, "900000000-900065535", user])).ok();
        find().unwrap()
    })
}

/// As Podman's rootless containers have them: root inside is the user, the others are the user's subordinate ids.
#[test]
fn subordinate_ids_by_newuidmap() {
    requires!(root, program "busybox", program "useradd", program "newuidmap");
    let user = Rootless::new(&["sh", "-c", "busybox id -u; echo kept >/tmp/file; busybox stat -c %u /tmp/file"]);
    let name = user.caller.user().to_owned();
    let uids = first_subordinate(&name, "/etc/subuid", "--add-subuids");
    let gids = first_subordinate(&name, "/etc/subgid", "--add-subgids");
    let (uid, gid) = user.caller.ids();
    let maps = |own: u32, first: u32| json!([{ "containerID": 0, "hostID": own, "size": 1 }, { "containerID": 1, "hostID": first, "size": 1000 }]);
    let tmp = user.caller.work.join("rootfs/tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).unwrap();
    user.edit(|spec| {
        spec["linux"]["uidMappings"] = maps(uid, uids);
        spec["linux"]["gidMappings"] = maps(gid, gids);
        spec["process"]["user"] = json!({ "uid": 500, "gid": 500 });
        spec["root"]["readonly"] = json!(false);
    });
    assert_eq!(user.ok(&["run", "mapped"]), "500\n500\n");
    assert_eq!(fs::metadata(tmp.join("file")).unwrap().uid(), uids + 499, "on the host");

    // Ids that are not the user's.
    user.edit(|spec| spec["linux"]["uidMappings"] = maps(uid, 12345));
    let output = user.zviz(&["run", "foreign"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("linux.uidMappings[1].hostID") && error.lines().count() == 1,
        "{error}"
    );
    assert!(user.caller.left().is_empty());
}

#[test]
fn a_terminal() {
    requires!(root, program "busybox", program "useradd", program "script");
    let user = Rootless::new(&["sleep", "1000"]);
    user.create("tty");
    user.ok(&["start", "tty"]);
    let zviz = user.caller.place.path().join("zviz");
    let exec = |words: &str| {
        let line = format!("{} --root {} exec {words}", zviz.display(), user.caller.state().display());
        let said = run(user.caller.program("script").args(["-qefc", &line, "/dev/null"])).ok();
        // The echo of the end of script's own input, which may come between two lines.
        said.replace("^@", "")
    };
    assert_eq!(exec("-t tty sh -c 'busybox tty; test -t 0 && echo terminal'"), "/dev/pts/0\r\nterminal");
    assert_eq!(exec("tty sh -c 'test -p /dev/stdin || echo other'"), "other", "control");
    user.ok(&["delete", "--force", "tty"]);
    user.edit(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["args"] = json!(["busybox", "tty"]);
    });
    let line = format!("{} --root {} run tty", zviz.display(), user.caller.state().display());
    let said = run(user.caller.program("script").args(["-qefc", &line, "/dev/null"])).ok().replace("^@", "");
    assert!(said.trim_end().ends_with("/dev/pts/0"), "{said}");
    assert!(user.caller.left().is_empty());
}

/// An agent of the same user gets the listener and the state. config-linux.md, "The Container Process State".
#[test]
fn an_agent() {
    requires!(root, program "busybox", program "useradd");
    let user = Rootless::new(&["sh", "-c", "mkdir /tmp/made; echo ended"]);
    let socket = user.caller.work.join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    user.edit(|spec| {
        let rule = json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }]);
        spec["linux"]["seccomp"] =
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "syscalls": rule });
    });
    let agent = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut text = vec![0; 1 << 16];
        let mut control = nix::cmsg_space!([i32; 2]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
        let fds: Vec<i32> = message
            .cmsgs()
            .unwrap()
            .flat_map(|c| if let ControlMessageOwned::ScmRights(fds) = c { fds } else { Vec::new() })
            .collect();
        let length = message.bytes;
        (serde_json::from_slice::<Value>(&text[..length]).unwrap(), fds)
    });
    // Nobody answers: the listener is closed, and the call gets ENOSYS.
    let mut zviz = user.caller.program(user.caller.place.path().join("zviz"));
    let running = zviz.arg("--root").arg(user.caller.state()).args(["run", "asked"]);
    let running = running.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (state, fds) = agent.join().unwrap();
    assert_eq!((state["fds"].clone(), state["state"]["id"].clone()), (json!(["seccompFd"]), json!("asked")));
    assert_eq!(fds.len(), 1);
    nix::unistd::close(fds[0]).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ended\n");
    assert!(!user.caller.work.join("rootfs/tmp/made").exists());
    assert!(user.caller.left().is_empty());
}

#[test]
fn hooks_of_all_places() {
    requires!(root, program "busybox", program "useradd");
    let user = Rootless::new(&["cat", "/tmp/inside"]);
    let outside = user.caller.work.join("outside");
    let shell = |script: String| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 10 }]);
    user.edit(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["hooks"] = json!({
            "createRuntime": shell(format!("id -u >{}", outside.display())),
            "startContainer": shell("id -u >/tmp/inside".to_owned()),
            "poststop": shell(format!("echo stopped >>{}", outside.display())),
        });
    });
    assert_eq!(user.ok(&["run", "hooked"]), "0\n", "root inside");
    let uid = user.caller.ids().0;
    assert_eq!(fs::read_to_string(outside).unwrap(), format!("{uid}\nstopped\n"));
    assert!(user.caller.left().is_empty());
}
