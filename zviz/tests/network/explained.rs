//! What `--explain` and `why` say of a connection that was refused, and that the change they name lets it through.

use super::internet::wait_for;
use super::names::{profile, served};
use super::sandboxes::{USER, World};
use super::support::{requires, run};
use serde_json::{Value, json};

const RULES: &str =
    "network:\n  mode: private\n  allow_domains: ['web.example:80']\n  egress: {deny: ['203.0.113.20:80']}\n";

/// A connection that is refused, and what is told of it.
struct Case {
    /// `HOST PORT` to connect to.
    to: &'static str,
    object: &'static str,
    what: &'static str,
    line: Option<&'static str>,
    /// What is added to the profile; none where the denial is taken out.
    changes: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        to: "203.0.113.10 443",
        object: "tcp 203.0.113.10:443",
        what: "no rule of the network lets it through, asked for as web.example",
        line: Some("5: network.allow_domains"),
        changes: &[
            "network: {allow_domains: [\"web.example:443\"]}",
            "network: {egress: {allow: [\"tcp/203.0.113.10:443\"]}}",
        ],
    },
    Case {
        to: "2001:db8:113::20 7777",
        object: "tcp [2001:db8:113::20]:7777",
        what: "no rule of the network lets it through",
        line: Some("5: network.allow_domains"),
        changes: &["network: {egress: {allow: [\"tcp/[2001:db8:113::20]:7777\"]}}"],
    },
    Case {
        to: "169.254.169.254 80",
        object: "tcp 169.254.169.254:80",
        what: "link-local and metadata addresses are guarded: only a rule that names one opens it",
        line: None,
        changes: &["network: {egress: {allow: [\"tcp/169.254.169.254:80\"]}}"],
    },
    Case {
        to: "other.example 80",
        object: "other.example",
        what: "the resolver of the sandbox does not ask for it (network.allow_domains): no entry allows this name",
        line: Some("5: network.allow_domains"),
        changes: &["network: {allow_domains: [other.example]}"],
    },
    Case {
        to: "203.0.113.20 80",
        object: "tcp 203.0.113.20:80",
        what: "the rules of the network refuse it (network.egress.deny[0])",
        line: Some("6: network.egress.deny[0]: 203.0.113.20:80"),
        changes: &[],
    },
];

/// Asks for the name whose addresses are known then, and connects.
const CONNECTS: &str = "import socket, sys\n\
    socket.getaddrinfo('web.example', 80)\n\
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)\n";

fn connects(to: &str) -> Vec<&str> {
    ["/usr/bin/python3", "-c", CONNECTS].into_iter().chain(to.split(' ')).collect()
}

#[test]
fn a_refused_connection_is_told_and_each_change_helps() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let _names = served(&world.internet, 60);
    let own = profile(&world, "own", RULES);
    let folder = world.internet.scratch.join(".config/zviz/profiles");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&own, folder.join("own.yaml")).unwrap();
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        for case in CASES {
            let at = format!("{net}: {}", case.to);
            let flags = ["--net", net, "--profile", &own, "--id", "told", "--explain"];
            let done = run(&mut world.run(user, &flags, &connects(case.to)));
            assert_eq!(done.code, 1, "{at}: {done}");
            let head = format!("zviz: denied by network: {}: refused\n  {}\n", case.object, case.what);
            assert!(done.err.contains(&head), "{at}: {done}");
            let line = case.line.map(|line| format!("  rule: {own}:{line}"));
            assert!(line.is_none_or(|line| done.err.contains(&line)), "{at}: {done}");
            for change in case.changes {
                assert!(done.err.contains(&format!("add to the profile: {change}")), "{at}: {done}");
            }
            // The same by what is kept.
            let why = run(&mut world.zviz(user, &["why", "told"])).ok();
            let kept = [case.object, case.what].iter().all(|text| why.contains(text));
            assert!(kept && why.starts_with("told (/usr/bin/python3, profile own) ended at 2"), "{at}: {why}");
            let why: Value = serde_json::from_str(&run(&mut world.zviz(user, &["why", "--json"])).ok()).unwrap();
            let denials = why["denials"].as_array().unwrap();
            let denial = denials.iter().find(|denial| denial["object"] == case.object);
            let denial = denial.unwrap_or_else(|| panic!("{at}: {why:#}"));
            let told: Vec<&Value> = denial["changes"].as_array().unwrap().iter().map(|one| &one["yaml"]).collect();
            if case.changes.is_empty() {
                let change = &denial["changes"][0]["instead"];
                assert!(
                    change["rule"]["key"] == "network.egress.deny[0]" && change["with"] == json!([]),
                    "{at}: {why:#}"
                );
            } else {
                assert_eq!(told, case.changes, "{at}");
            }
            for change in case.changes {
                std::fs::write(folder.join("changed.yaml"), format!("name: changed\nextends: own\n{change}\n"))
                    .unwrap();
                let mut changed = world.run(user, &["--net", net, "--profile", "changed"], &connects(case.to));
                let done = run(changed.env("HOME", world.internet.scratch.path()));
                assert_eq!(done.code, 0, "{at}: with {change}: {done}");
            }
        }
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}
