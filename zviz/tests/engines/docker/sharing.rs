//! Namespaces: of its own, of the host, of another container.

use super::daemon::Docker;
use crate::support::requires;

pub fn host_name(docker: &Docker) {
    let flags = ["--hostname=web-1", "--domainname=example.org"];
    assert_eq!(docker.sh(&flags, "hostname; cat /proc/sys/kernel/domainname").ok(), "web-1\nexample.org");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(docker.sh(&["--uts=host"], "hostname").ok(), host.trim());
}

pub fn network(docker: &Docker) {
    requires!(program "ip");
    let links = "ls /sys/class/net | grep -v -e sit0 -e tunl0 -e ip6tnl0 | xargs";
    assert_eq!(docker.sh(&["--network=none"], links).ok(), "lo");
    let host = docker.sh(&["--network=host"], links).ok();
    assert!(host.split(' ').any(|link| link == "docker0"), "{host}");
    // Through the hook that puts the link into the container: two of them on a bridge.
    let serve = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www";
    let server = docker.background(&["--network=bridge"], serve);
    let address = server.field(".NetworkSettings.IPAddress");
    let fetch = format!("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{address}/ && exit; sleep 0.2; done");
    assert_eq!(docker.sh(&["--network=bridge"], &fetch).ok(), "served");
}

pub fn another_container(docker: &Docker) {
    let first = docker.background(&["--ipc=shareable"], "echo here > /dev/shm/note; sleep 1234");
    let with = |namespace: &str| format!("--{namespace}=container:{}", first.id);
    assert!(docker.run(&[&with("pid")], &["ps"]).ok().contains("sleep 1234"));
    assert!(!docker.run(&[], &["ps"]).ok().contains("sleep 1234"));
    let net = "readlink /proc/self/ns/net";
    let same = first.exec(&[], net).ok();
    assert_eq!(docker.sh(&[&with("network")], net).ok(), same);
    assert_ne!(docker.sh(&[], net).ok(), same);
    assert_eq!(docker.sh(&[&with("ipc")], "cat /dev/shm/note").ok(), "here");
    let names = docker.sh(&["--pid=host"], "cat /proc/1/comm").ok();
    assert_eq!(names, std::fs::read_to_string("/proc/1/comm").unwrap().trim());
}
