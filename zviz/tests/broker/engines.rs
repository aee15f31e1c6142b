//! Container engines inside the sandbox, on files made here.

use super::callers::Caller;
use super::{as_root, fails};
use std::fs;

const CONTAINERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo built > /made"]
"#;

/// `podman` and `buildah`, with all their state in the sandbox's own /tmp.
const ENVIRONMENT: &str = "export HOME=/tmp XDG_RUNTIME_DIR=/tmp/run; mkdir -p /tmp/run; \
    store='--storage-driver vfs --root /tmp/root --runroot /tmp/runroot'; ";

fn folder(caller: &Caller) {
    fs::copy("/bin/busybox", caller.work.join("busybox")).unwrap();
    fs::write(caller.work.join("Containerfile"), CONTAINERFILE).unwrap();
}

#[test]
fn an_image_is_built_and_run_inside() {
    // An ordinary user's sandbox has one id, and an image has several.
    as_root("an_image_is_built_and_run_inside", &["buildah", "podman", "busybox"], |caller| {
        folder(caller);
        let build = format!("{ENVIRONMENT} buildah $store build --isolation chroot -t x . 2>&1");
        let run = format!(
            "{build} >/tmp/log || cat /tmp/log; podman $store --cgroup-manager cgroupfs run --cgroups=disabled \
             --network none --rm localhost/x /bin/busybox sh -c '/bin/busybox cat /made 2>/dev/null; /bin/busybox id -u; /bin/busybox echo $$'"
        );
        // More ids than its own an engine would ask newuidmap(1) for, a set-uid program.
        let none = caller.work.join("none");
        fs::write(&none, "").unwrap();
        let files = ["/etc/subuid", "/etc/subgid"].iter().filter(|file| fs::exists(file).unwrap());
        let shares = files.flat_map(|file| ["--ro".to_owned(), format!("{}:{file}", none.display())]);
        let flags: Vec<String> = ["--profile", "nested"].map(str::to_owned).into_iter().chain(shares).collect();
        let output = caller.run(&flags.iter().map(String::as_str).collect::<Vec<_>>(), &["sh", "-c", &run]);
        let out = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "as {}: {out}\n{}", caller.name(), String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = out.lines().rev().take(2).collect();
        assert_eq!(lines, ["1", "0"], "root and process 1 of its own: {out}");
        assert!(out.contains("built"), "{out}");
        fails(caller, "default", &["sh", "-c", &run]);
    });
}
