//! A profile's rules in namespaces that others fill: joined ones, as of pods, and new ones that a hook gives a device.

use super::container::Container;
use super::internet::{Internet, METADATA, OTHER, PRIVATE, WEB};
use super::support::requires;

const ONE: &str = "network:\n  allow_cidrs: [203.0.113.10/32, '2001:db8:113::10/128']\n  sockets: {allow: [tcp, udp, unix, netlink, icmp]}\n";
const ANY: &str = "network:\n  mode: private\n  egress: {deny: [203.0.113.20/32]}\n  sockets: {allow: [tcp, udp, unix, netlink, icmp]}\n";

/// By each protocol, of one peer.
fn to(peer: (&str, &str)) -> Vec<String> {
    let (four, six) = peer;
    let kinds = ["tcp", "udp"].into_iter().flat_map(|kind| [format!("{kind}:{four}:80"), format!("{kind}:[{six}]:80")]);
    kinds.chain([format!("icmp:{four}"), format!("icmp:[{six}]")]).collect()
}

fn all() -> Vec<String> {
    [WEB, OTHER, METADATA, PRIVATE].into_iter().flat_map(to).collect()
}

fn words(flows: &[String]) -> Vec<&str> {
    flows.iter().map(String::as_str).collect()
}

/// Each flow gets through without a profile, and only those to one peer with it.
fn held<'i>(internet: &'i Internet, make: impl Fn(&str) -> Container<'i>) {
    let flows = all();
    let flows = words(&flows);
    let plain = make("plain");
    assert_eq!(plain.reaches(&flows), flows, "without a profile");
    let before = internet.other.seen().len();
    assert!(before > 0);
    let one = make("one").profile(ONE);
    assert_eq!(one.reaches(&flows), to(WEB), "with one");
    assert_eq!(internet.other.seen().len(), before, "{:?}", internet.other.seen());
    // What is guarded is not reached by a profile that does not name it.
    let any = make("any").profile(ANY);
    let reached = any.reaches(&flows);
    let six: Vec<String> = to(OTHER).into_iter().filter(|flow| flow.contains('[')).collect();
    let mut expected = to(WEB);
    expected.extend(six);
    assert_eq!(reached, expected, "all but what is guarded or denied");
}

#[test]
fn a_joined_namespace_is_held() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    held(&internet, |name| Container::new(&internet, name).joins(&pod));
    assert_eq!(pod.tables(), [""; 0]);
}

#[test]
fn a_new_namespace_is_held_before_a_hook_fills_it() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    held(&internet, |name| Container::new(&internet, name).hooked(name, 78));
}

#[test]
fn exec_is_held_and_counted() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let container = Container::new(&internet, "exec").joins(&pod).profile(ONE);
    container.starts();
    let flows = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80", "tcp:169.254.169.254:80"];
    assert_eq!(container.reaches_by_exec(&flows), ["tcp:203.0.113.10:80"]);
    let told = super::support::run(&mut container.zviz(&["stats", "--json", &container.id])).ok();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let packets = |rule: &str| {
        let rules = told["rules"].as_array().unwrap();
        let one = rules.iter().find(|one| one["rule"].as_str().unwrap().starts_with(rule));
        one.unwrap_or_else(|| panic!("{rule}: {told:#}"))["packets"].as_u64().unwrap()
    };
    assert_eq!(packets("network.allow_cidrs[0]"), 1, "{told:#}");
    assert!(packets("established") > 2 && packets("otherwise") >= 1, "{told:#}");
    assert!(packets("guarded: link-local and metadata") >= 1, "{told:#}");
    let table = super::support::run(&mut container.zviz(&["stats", &container.id])).ok();
    assert!(table.starts_with("RULE") && table.contains("network.allow_cidrs[0]"), "{table}");
}

#[test]
fn connections_are_in_the_audit() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let all = "network:\n  log: all\n  allow_cidrs: [203.0.113.10/32]\n";
    let container = Container::new(&internet, "audited").joins(&pod).profile(all);
    let flows = ["tcp:203.0.113.10:80", "udp:203.0.113.10:443", "tcp:169.254.169.254:80"];
    assert_eq!(container.reaches(&flows), flows[..2]);
    let path = internet.scratch.join("audit");
    // The helper ends when the container has, and writes until then.
    super::internet::wait_for("three lines", || {
        std::fs::read_to_string(&path).unwrap_or_default().lines().count() >= 3
    });
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |verdict: &str, rule: &str, protocol: &str, to: &str, port: u16| {
        let is = |line: &&serde_json::Value| {
            line["verdict"] == verdict && line["protocol"] == protocol && line["to"] == to && line["port"] == port
        };
        let line = lines.iter().find(is).unwrap_or_else(|| panic!("{verdict} {protocol} {to}:{port}: {text}"));
        assert!(line["rule"].as_str().unwrap().starts_with(rule), "{line}");
        assert_eq!(line["container"], container.id.as_str(), "{line}");
    };
    told("allow", "network.allow_cidrs[0]", "tcp", "203.0.113.10", 80);
    told("allow", "network.allow_cidrs[0]", "udp", "203.0.113.10", 443);
    told("deny", "guarded: link-local", "tcp", "169.254.169.254", 80);
    container.deletes();
    assert_eq!(pod.tables(), [""; 0]);
}

#[test]
fn containers_of_one_pod_are_held_by_the_rules_of_all() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let web = "network: {allow_cidrs: [203.0.113.10/32]}\n";
    let both = "network: {allow_cidrs: [203.0.113.10/32, 203.0.113.20/32]}\n";
    let flows = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80"];
    let first = Container::new(&internet, "first").joins(&pod).profile(both);
    first.starts();
    assert_eq!(first.reaches_by_exec(&flows), flows);
    let second = Container::new(&internet, "second").joins(&pod).profile(web);
    second.starts();
    assert_eq!(pod.tables().len(), 2);
    for container in [&first, &second] {
        assert_eq!(container.reaches_by_exec(&flows), flows[..1]);
    }
    second.deletes();
    assert_eq!(first.reaches_by_exec(&flows), flows);
    first.deletes();
    assert_eq!(pod.tables(), [""; 0]);
}
