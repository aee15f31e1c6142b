//! nft(8) takes what is written, and the kernel makes of it what is meant. As root, in namespaces of its own.

mod policies;

use policies::{network, policy};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::io::Write;
use std::process::{Command, Stdio};
use zviz_network::policy::{Published, Transport};
use zviz_network::rules::{Ruleset, bridge, inside, published};

/// Runs a program in a network namespace of its own with this as input; none where that cannot be.
fn apart(program: &[&str], input: &str) -> Option<Result<String, String>> {
    let mut command = Command::new("unshare");
    let command =
        command.arg("--net").args(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(input.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

fn has_nft() -> bool {
    let able = apart(&["nft", "-f", "-"], "add table inet probe\n");
    let able = matches!(able, Some(Ok(_)));
    if !able {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIP nft: needs root, unshare(1), nft(8) and nf_tables in the kernel\n",
        );
    }
    able
}

fn loads(ruleset: &Ruleset) -> String {
    let text = ruleset.to_string();
    match apart(&["sh", "-c", "nft -f - && nft list ruleset"], &text) {
        Some(Ok(listed)) => listed,
        fault => panic!("{fault:?}\n{text}"),
    }
}

#[test]
fn nft_takes_every_policy() {
    if !has_nft() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let mut policy = || policy().new_tree(&mut runner).unwrap().current();
        let ruleset = inside(&[policy(), policy()], "zviz-test");
        let listed = loads(&ruleset);
        let rules: usize = ruleset.rules().count();
        assert_eq!(listed.matches("comment").count() + listed.matches("limit rate 10").count(), rules, "{listed}");
    }
}

#[test]
fn nft_takes_the_hosts_rules() {
    if !has_nft() {
        return;
    }
    let mut ports = vec![Published { address: None, outside: 8080, inside: 80, transport: Transport::Tcp }];
    for address in ["127.0.0.1", "2001:db8::1"] {
        let address = Some(address.parse().unwrap());
        ports.push(Published { address, outside: 5353, inside: 53, transport: Transport::Udp });
    }
    let container = ("10.213.0.5".parse().unwrap(), "fd7a:7669:7a00::5".parse().unwrap());
    let listed = loads(&published("zviz-p-x", "zviz0", container, &ports));
    assert!(listed.contains("dnat ip to 10.213.0.5:80"), "{listed}");
    assert!(listed.contains("dnat ip6 to [fd7a:7669:7a00::5]:53"), "{listed}");
    loads(&bridge("zviz0", &["10.213.0.0/16", "fd7a:7669:7a00::/64"].map(network)));
}
