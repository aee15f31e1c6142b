//! Who a container is and what it may do.

use super::daemon::Docker;
use crate::support::requires;
use std::fs;

pub fn user(docker: &Docker) {
    assert_eq!(docker.sh(&["--user=1000:100"], "id -u; id -g; id -G").ok(), "1000\n100\n100");
    let by_name = docker.sh(&["--user=user", "--group-add=2000", "--group-add=7"], "id -u; id -g; id -G").ok();
    assert_eq!(by_name, "1000\n1000\n1000 7 2000");
    docker.sh(&["--user=user"], "touch /etc/x").exits(1);
    docker.run(&["--user=nobody-here"], &["true"]).exits(125);
}

pub fn capabilities(docker: &Docker) {
    let sets = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f2 | uniq";
    assert_eq!(docker.sh(&["--cap-drop=ALL"], sets).ok(), "0000000000000000");
    assert_eq!(docker.sh(&["--cap-drop=ALL", "--cap-add=NET_RAW"], sets).ok(), "0000000000002000");
    assert_eq!(docker.sh(&[], sets).ok(), "00000000a80425fb");
    let chown = "touch /tmp/x && chown 5 /tmp/x && stat -c %u /tmp/x";
    assert_eq!(docker.sh(&[], chown).ok(), "5");
    docker.sh(&["--cap-drop=CHOWN"], chown).exits(1);
    // An ordinary user has none, whatever root would have.
    assert!(docker.sh(&["--user=1000"], "grep CapEff /proc/self/status").ok().ends_with("0000000000000000"));
}

pub fn seccomp(docker: &Docker) {
    let file = docker.scratch.join("seccomp.json");
    let profile = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 } ] }"#;
    fs::write(&file, profile).unwrap();
    let flag = format!("--security-opt=seccomp={}", file.display());
    docker.sh(&[], "mkdir /tmp/a").ok();
    let done = docker.sh(&[&flag], "touch /tmp/a && mkdir /tmp/b").exits(1);
    assert!(done.err.contains("No space left on device"), "{done}");

    let mode = "grep Seccomp: /proc/self/status | cut -f2";
    assert_eq!(docker.sh(&[], mode).ok(), "2");
    assert_eq!(docker.sh(&["--security-opt=seccomp=unconfined"], mode).ok(), "0");
    // Docker's own profile keeps user namespaces from whoever has no CAP_SYS_ADMIN.
    docker.sh(&[], "unshare -U true").exits(1);
    docker.sh(&["--security-opt=seccomp=unconfined"], "unshare -U true").ok();
}

pub fn no_new_privileges(docker: &Docker) {
    let bit = "grep NoNewPrivs /proc/self/status | cut -f2";
    assert_eq!(docker.sh(&[], bit).ok(), "0");
    assert_eq!(docker.sh(&["--security-opt=no-new-privileges"], bit).ok(), "1");
    // With a set-user-ID program, and a root without password.
    let script = "sed -i s/root:x:/root::/ /etc/passwd; cp /bin/busybox /tmp/su; chmod 4755 /tmp/su; \
                  exec su user -c '/tmp/su root -c \"id -u\"'";
    assert_eq!(docker.sh(&[], script).ok(), "0");
    docker.sh(&["--security-opt=no-new-privileges"], script).exits(1);
}

pub fn privileged(docker: &Docker) {
    docker.sh(&[], "mount -t tmpfs none /tmp").exits(1);
    let script =
        "mount -t tmpfs none /tmp && mkdir /sys/fs/cgroup/pids/x && rmdir /sys/fs/cgroup/pids/x && ls /dev | wc -l";
    let devices: u32 = docker.sh(&["--privileged"], script).ok().parse().unwrap();
    let host = fs::read_dir("/dev").unwrap().count();
    assert!(devices as usize > host / 2, "{devices} of the host's {host} devices");
}

pub fn devices(docker: &Docker) {
    requires!(file "/dev/kmsg");
    // A container may make the node, and not open it.
    let open = "mknod /tmp/kmsg c 1 11 && dd if=/tmp/kmsg of=/dev/null bs=1 count=0";
    let done = docker.sh(&["--cap-add=SYSLOG"], open).exits(1);
    assert!(done.err.contains("Operation not permitted"), "{done}");
    docker.sh(&["--cap-add=SYSLOG", "--device=/dev/kmsg:/dev/log-of-kernel"], "ls -l /dev/log-of-kernel").ok();
    docker.sh(&["--cap-add=SYSLOG", "--device-cgroup-rule=c 1:11 r"], open).ok();
    let names = "cd /dev && echo * && head -c1 zero | wc -c && ls /dev/pts";
    let done = docker.sh(&[], names).ok();
    assert_eq!(
        done.lines().next().unwrap(),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
}

pub fn sysctl(docker: &Docker) {
    let cat = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    let flags = ["--sysctl=net.ipv4.ip_unprivileged_port_start=77", "--sysctl=kernel.msgmax=4096"];
    assert_eq!(docker.sh(&flags, cat).ok(), "77\n4096");
}

pub fn masked_paths(docker: &Docker) {
    let done = docker.sh(&[], "cat /proc/keys /proc/timer_list; ls -A /proc/acpi /sys/firmware").exits(0);
    assert_eq!(done.out.replace("/proc/acpi:", "").replace("/sys/firmware:", "").trim(), "");
    for write in ["/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"] {
        docker.sh(&["--user=0"], &format!("echo x > {write}")).exits(1);
    }
}
