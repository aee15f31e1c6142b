//! Ports that are published, where a profile says who comes in.

use super::internet::{HOST, OTHER, WEB, wait_for};
use super::names::profile;
use super::sandboxes::{USER, World, flows};
use super::support::{requires, run};
use std::thread::scope;

const FLAGS: &[&str] = &["--net", "bridge", "-p", "8080:8000", "-p", "8080:8000/udp"];

/// Who reaches the port of the host: `web`, `other`, the host itself.
fn reached(world: &World) -> [Vec<String>; 3] {
    let internet = &world.internet;
    let tried: [String; 4] = flows(&[HOST.0, HOST.1], 8080).try_into().unwrap();
    let from = [&internet.web.space, &internet.other.space, &internet.host];
    // What is dropped takes its time.
    scope(|scope| {
        let each = from.map(|space| {
            tried.each_ref().map(|flow| scope.spawn(|| world.tries_from(space, std::slice::from_ref(flow))))
        });
        each.map(|all| all.into_iter().flat_map(|one| one.join().unwrap()).collect())
    })
}

#[test]
fn published_ports_are_reached_by_whom_the_profile_lets_in() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let (all, none) = (flows(&[HOST.0, HOST.1], 8080), Vec::new());
    let [four, six] = [&all[..2], &all[2..]].map(<[String]>::to_vec);
    let says = |name: &str, allow: &[String]| {
        profile(&world, name, &format!("network:\n  mode: private\n  ingress: {{allow: {allow:?}}}\n"))
    };
    let one = |(four, six): (&str, &str)| [format!("{four}:8000"), format!("[{six}]:8000")];
    let (web, other) = (one(WEB), one(OTHER));
    for (name, flags, expected) in [
        // The control.
        ("open", None, [&all, &all, &all]),
        ("web", Some(says("web", &web)), [&all, &none, &none]),
        ("web-four", Some(says("web-four", &web[..1])), [&four, &none, &none]),
        ("web-six", Some(says("web-six", &web[1..])), [&six, &none, &none]),
        ("both", Some(says("both", &[web, other].concat())), [&all, &all, &none]),
    ] {
        let profile = flags.iter().flat_map(|path| ["--profile", path]);
        let mut shell = world.shell(0, &FLAGS.iter().copied().chain(profile).collect::<Vec<_>>());
        shell.serves("open");
        assert_eq!(reached(&world).each_ref(), expected, "{name}");
        shell.ends();
    }
    world.is_clean();
}

#[test]
fn a_port_that_the_profile_keeps_shut_is_refused() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    for (name, ingress) in
        [("none", "{deny_all: true}"), ("other", "{allow: ['203.0.113.10:8001', 'udp/203.0.113.10:8000']}")]
    {
        let profile = profile(&world, name, &format!("network: {{mode: private, ingress: {ingress}}}\n"));
        for user in [0, USER] {
            let flags = |port| ["--net", "private", "--profile", &profile, "-p", port];
            let done = run(&mut world.run(user, &flags("8080:8000"), &["true"]));
            let said = format!("-p 8080:8000/tcp: the profile {name} lets nobody in at port 8000");
            assert!(done.code == 125 && done.err.contains(&said), "{name} as {user}: {done}");
            // The control: another port is fine, where there is one.
            let done = run(&mut world.run(user, &flags("8080:8001"), &["true"]));
            assert_eq!(done.code == 0, name == "other", "{name} as {user}: {done}");
            wait_for("the end of pasta", || world.pastas().is_empty());
        }
    }
    world.is_clean();
}
