//! zviz inside of an ordinary container of Docker's and runc's, which gives it no namespaces, or more or less.

use super::daemon::Docker;
use crate::support::{Done, ZVIZ, program, skip};

/// `zviz run FLAGS -- sh -c SCRIPT` in a container of runc's, in a folder to work in.
fn inside(docker: &Docker, security: &[&str], flags: &str, script: &str) -> Done {
    let shared = format!("--volume={ZVIZ}:/zviz:ro");
    let mut all = vec!["--runtime=runc", &shared, "--workdir=/work"];
    all.extend(security.iter().copied());
    docker.sh(&all, &format!("/zviz --root /work/.state run {flags} -- sh -c '{script}'"))
}

const OPEN: &[&str] = &["--security-opt=seccomp=unconfined"];
const WIDE: &[&str] = &[
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
];

pub fn landlock(docker: &Docker) {
    if program("runc").is_none() {
        return skip("engines::docker::without_namespaces", "runc is not installed");
    }
    for user in [&["--tmpfs=/work:exec"][..], &["--tmpfs=/work:exec,uid=1000", "--user=1000:1000"]] {
        for (security, missing) in [(&[][..], "seccomp filter"), (OPEN, "systempaths=unconfined"), (WIDE, "")] {
            let all = [user, security].concat();
            let whole = inside(docker, &all, "", "cat /proc/1/status");
            match missing {
                "" => assert!(whole.exits(0).out.contains("NSpid:\t1\n"), "{all:?}"),
                words => {
                    let whole = whole.exits(125);
                    let said = whole.err.contains(words) && whole.err.contains("zviz run --backend landlock");
                    assert!(said, "{all:?}: {whole}");
                }
            }
            let script = "echo text > file; cat file; touch /etc/x || touch /root/x || touch /tmp/x || cat /proc/1/environ || exit 7";
            let less = inside(docker, &all, "--backend landlock", script).exits(7);
            assert_eq!(less.out, "text", "{all:?}: {less}");
        }
    }
}
