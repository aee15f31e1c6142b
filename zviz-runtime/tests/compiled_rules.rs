//! What `zviz compile` makes of the network: rules that nft(8) takes, the same bytes every time, and the policy that is read back.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use zviz_runtime::profile::artefacts::{Compiled, load, make};
use zviz_runtime::profile::find::Search;
use zviz_runtime::profile::lower::Context;

const TEXT: &str = "name: own
network:
  mode: private
  allow_domains: [crates.io, \"*.example.org:443\"]
  allow_cidrs: [198.51.100.0/24, \"tcp/[2001:db8::/32]:8000-8099\"]
  egress: {deny: [icmp/198.51.100.7]}
  ingress: {allow: [\"tcp/192.0.2.0/24:80\"]}
  dns: {proxy: {upstream: \"192.0.2.53:53\"}}
  connections_max: 100
  log: all
";

fn compiled(folder: &Path) -> Compiled {
    fs::write(folder.join("own.yaml"), TEXT).unwrap();
    make(&Search::in_folder(folder.to_str().unwrap()), "own", &Context::default()).unwrap()
}

#[test]
fn each_rule_is_in_the_file_that_nft_takes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.each_ref().map(|folder| compiled(folder.path()));
    assert_eq!(one.files, other.files);
    let names: Vec<&str> = one.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["own.bpf", "own.nft", "own.manifest.json"]);
    assert!(one.manifest.artefacts.iter().any(|artefact| artefact.file == "own.nft"));
    let rules = String::from_utf8(one.files[1].1.clone()).unwrap();
    let network = one.manifest.rules.iter().filter(|rule| rule.key.starts_with("network."));
    for rule in network.filter(|rule| !["network.mode", "network.log"].contains(&rule.key.as_str())) {
        if rule.key.starts_with("network.dns.proxy") {
            assert_eq!((rule.by.as_str(), rule.artefacts.len()), ("resolver", 0));
            continue;
        }
        assert_eq!(rule.artefacts, ["own.nft"], "{}", rule.key);
        assert!(rules.contains(&format!("comment \"{}\"", rule.key)), "{}: {rules}", rule.key);
    }
    let mut nft = Command::new("unshare");
    let nft = nft.args(["--net", "nft", "-c", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let able = Command::new("unshare").args(["--net", "nft", "list", "tables"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIP compiled rules: needs root, unshare(1), nft(8) and nf_tables in the kernel\n",
        );
        return;
    }
    let mut nft = nft.spawn().unwrap();
    std::io::Write::write_all(&mut nft.stdin.take().unwrap(), rules.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{rules}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_was_compiled_is_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let own = compiled(folder.path());
    let out = folder.path().join("out");
    own.write(&out).unwrap();
    let read = load(&out, None, &Context::default()).unwrap();
    assert_eq!(read.packets, own.manifest.profile.packets);
    assert!(read.packets.is_some_and(|packets| packets.resolver && packets.upstream.len() == 1));
    fs::write(out.join("own.nft"), "").unwrap();
    assert!(load(&out, None, &Context::default()).unwrap_err().contains("own.nft: is not what was compiled"));
}
