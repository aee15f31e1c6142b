//! The world itself: without rules everything in it is reached, so that what is not reached with them is their work.

use super::internet::{DNS, HOST, Internet, METADATA, OTHER, PRIVATE, WEB};
use super::support::requires;
use std::process::Command;

/// Every flow that rules are tried on, as probe.py takes them.
pub fn flows() -> Vec<String> {
    let mut flows = Vec::new();
    for (four, six) in [WEB, OTHER, METADATA, PRIVATE] {
        for kind in ["tcp", "udp"] {
            flows.extend([format!("{kind}:{four}:80"), format!("{kind}:[{six}]:80")]);
        }
        flows.extend([format!("raw:{four}"), format!("raw:[{six}]")]);
    }
    flows
}

/// What became of each flow.
pub fn tried(command: &mut Command, flows: &[String]) -> Vec<String> {
    let output = command.args(flows).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Those that got an answer.
pub fn through(command: &mut Command, flows: &[String]) -> Vec<String> {
    let lines = tried(command, flows);
    lines.iter().filter_map(|line| line.split_once(" ok ").map(|(flow, _)| flow.to_owned())).collect()
}

#[test]
fn all_is_reached_where_there_are_no_rules() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let flows = flows();
    for space in [&internet.host, &pod] {
        let tried = tried(space.command("python3").arg(internet.probe()), &flows);
        assert_eq!(tried.len(), flows.len());
        for line in &tried {
            assert!(line.contains(" ok "), "{tried:#?}");
        }
    }
    assert!(internet.web.was_reached("tcp", 80) && internet.other.was_reached("udp", 80), "{:?}", internet.web.seen());
    assert_eq!(internet.host.tables(), [""; 0]);
    assert_eq!(pod.devices(), ["lo", "eth0"]);
    // Whoever asks for a name on this host asks the test.
    let conf = internet.on_host("/bin/cat".as_ref()).arg("/etc/resolv.conf").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&conf.stdout), format!("nameserver {}\n", DNS.0));
    assert!(internet.host.ip("-o addr show up0").contains(HOST.0));
}
