//! What a container can write to.

use super::daemon::Docker;
use crate::support::run;
use std::fs;
use std::path::Path;
use std::process::Command;

pub fn read_only(docker: &Docker) {
    let done = docker.sh(&["--read-only"], "touch /x /etc/x; touch /dev/shm/x && echo shm").exits(0);
    assert_eq!(done.out, "shm");
    assert_eq!(done.err.matches("Read-only file system").count(), 2, "{done}");
}

pub fn tmpfs(docker: &Docker) {
    let flags = ["--read-only", "--tmpfs=/tmp", "--tmpfs=/data:size=1m,mode=700,exec"];
    let script = "cp /bin/busybox /tmp/true; /tmp/true || echo noexec; stat -c %a /data; \
                  head -c 2m /dev/zero > /data/x || stat -c %s /data/x";
    let done = docker.sh(&flags, script).exits(0);
    assert_eq!(done.out, "noexec\n700\n1048576", "{done}");
}

pub fn volumes(docker: &Docker) {
    let folder = docker.scratch.join("volume");
    fs::create_dir_all(folder.join("below")).unwrap();
    fs::write(folder.join("file"), "from the host").unwrap();
    let at = folder.display();
    let write = "cat /v/file; echo inside > /v/below/new";
    assert_eq!(docker.sh(&[&format!("--volume={at}:/v")], write).ok(), "from the host");
    assert_eq!(fs::read_to_string(folder.join("below/new")).unwrap(), "inside\n");
    let done = docker.sh(&[&format!("--volume={at}:/v:ro")], "cat /v/below/new; touch /v/x").exits(1);
    assert_eq!(done.out, "inside");
    assert!(done.err.contains("Read-only file system"), "{done}");
    // A file, on a path that the image does not have.
    let file = format!("--volume={at}/file:/made/for/it:ro");
    assert_eq!(docker.sh(&[&file], "cat /made/for/it").ok(), "from the host");
}

pub fn propagation(docker: &Docker) {
    let shared = docker.scratch.join("shared");
    fs::create_dir_all(&shared).unwrap();
    let mount = |arguments: &[&str], at: &Path| run(Command::new("mount").args(arguments).arg(at)).ok();
    mount(&["-t", "tmpfs", "none"], &shared);
    mount(&["--make-shared"], &shared);
    fs::create_dir(shared.join("below")).unwrap();
    let at = shared.display();
    let see = |flag: &str| {
        let container = docker.background(&[&format!("--volume={at}:/v:{flag}")], "sleep 100");
        mount(&["-t", "tmpfs", "none"], &shared.join("below"));
        fs::write(shared.join("below/new"), "").unwrap();
        let seen = container.exec(&[], "ls /v/below").ok();
        run(Command::new("umount").arg(shared.join("below"))).ok();
        seen
    };
    assert_eq!((see("rslave"), see("rprivate")), ("new".into(), String::new()));
    run(Command::new("umount").arg(&shared)).ok();
}

pub fn named_volume(docker: &Docker) {
    let volume = "--volume=kept:/etc";
    docker.sh(&[volume], "echo kept > /etc/kept").ok();
    // What the image has there was copied when the volume was new.
    assert_eq!(docker.sh(&[volume], "cat /etc/kept; test -s /etc/passwd && echo copied").ok(), "kept\ncopied");
    docker.cli(&["volume", "rm", "kept"]).ok();
}
