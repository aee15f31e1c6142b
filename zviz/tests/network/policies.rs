//! The same rules by other ways: from a compiled profile, and by an annotation on top of another one.

use super::container::Container;
use super::internet::{Internet, METADATA, OTHER, WEB, wait_for};
use super::names::{profile, served};
use super::sandboxes::{USER, World, flows};
use super::support::{requires, run};

const RULES: &str = "network:\n  mode: private\n  allow_domains: ['web.example:80']\n  allow_cidrs: ['2001:db8:113::20/128']\n  egress: {deny: ['udp/[2001:db8:113::20]:80']}\n";
/// Asks for a name before it tries flows, so that its addresses are known.
const ASKS: &str = "getent ahosts web.example >/dev/null; exec /usr/bin/python3 /probe.py \"$@\"";

/// What becomes of flows, word for word.
fn said(world: &World, user: u32, flags: &[&str], flows: &[String]) -> Vec<String> {
    let words: Vec<&str> = ["sh", "-c", ASKS, "sh"].into_iter().chain(flows.iter().map(String::as_str)).collect();
    run(&mut world.run(user, flags, &words)).ok().lines().map(str::to_owned).collect()
}

#[test]
fn a_compiled_profile_gives_the_same_verdicts() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let _names = served(&world.internet, 60);
    let text = profile(&world, "rules", RULES);
    let all = [flows(&[WEB.0, WEB.1, OTHER.0, OTHER.1, METADATA.0], 80), flows(&[WEB.0], 443)].concat();
    let web = flows(&[WEB.0, WEB.1], 80);
    let expected = [&web[..], &[format!("tcp:[{}]:80", OTHER.1)]].concat();
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let folder = world.root(user).join("compiled");
        let folder = folder.to_string_lossy();
        run(&mut world.zviz(user, &["compile", &text, "--output", &folder])).ok();
        assert!(std::fs::metadata(format!("{folder}/rules.nft")).is_ok_and(|file| file.len() > 0));
        // The control: all but what is guarded.
        let open = said(&world, user, &["--net", net], &all);
        assert_eq!(open.iter().filter(|line| line.contains(" ok ")).count(), all.len() - 2, "{open:?}");
        let written = said(&world, user, &["--net", net, "--profile", &text], &all);
        let compiled = said(&world, user, &["--net", net, "--compiled", &folder], &all);
        assert_eq!(compiled, written, "{net} as {user}");
        let passed: Vec<&str> =
            compiled.iter().filter_map(|line| line.split_once(" ok ")).map(|(flow, _)| flow).collect();
        assert_eq!(passed, expected, "{net} as {user}");
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}

#[test]
fn a_policy_on_top_of_a_profile_only_tightens() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let all = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80", "tcp:203.0.113.10:443", "tcp:169.254.169.254:80"];
    let rules = |list: &str| format!("network: {{allow_cidrs: [{list}]}}\n");
    let wide = rules("203.0.113.0/24, 169.254.169.254/32");
    let (web, ports, other) = (rules("203.0.113.10/32"), rules("'203.0.113.0/24:80'"), rules("203.0.113.20/32"));
    for (name, profile, policy, reached) in [
        ("none", None, None, &all[..]),
        ("profile", Some(&wide), None, &all[..]),
        ("policy", None, Some(&web), &[all[0], all[2]]),
        ("tighter", Some(&wide), Some(&web), &[all[0], all[2]]),
        ("wider", Some(&web), Some(&wide), &[all[0], all[2]]),
        ("both", Some(&web), Some(&ports), &[all[0]]),
        ("apart", Some(&web), Some(&other), &[]),
    ] {
        let container = Container::new(&internet, name).joins(&pod);
        let container = profile.into_iter().fold(container, |container, text| container.profile(text));
        let container = policy.into_iter().fold(container, |container, text| container.policy(text));
        assert_eq!(container.reaches(&all), reached, "{name}");
        assert_eq!(pod.tables(), [""; 0], "{name}");
    }
}
