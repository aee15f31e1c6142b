//! What is told of connections: live by `--net-log`, and in the audit, with the name that was asked for and the rule.

use super::container::Container;
use super::internet::{OTHER, WEB, wait_for};
use super::names::{profile, served};
use super::sandboxes::{USER, World};
use super::support::{requires, run};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Until a line is there.
const PATIENCE: Duration = Duration::from_secs(20);

const RULES: &str =
    "network: {mode: private, allow_domains: ['web.example:80'], allow_cidrs: ['[2001:db8:113::20]:443']}\n";
/// Connects by name and by address, one after the other, each when it is told to.
const STEPS: &str = r#"
import socket, sys
for line in sys.stdin:
    host, port = line.split()
    try: socket.create_connection((host, int(port)), 5).close()
    except OSError: pass
    print("done", flush=True)
"#;
/// Whom it connects to, and what is said of it by then.
const TOLD: &[(&str, &[&str])] = &[
    (
        "web.example 80",
        &[
            "allow name web.example A (network.allow_domains[0])",
            "allow name web.example AAAA (network.allow_domains[0])",
        ],
    ),
    ("203.0.113.10 80", &["allow tcp web.example 203.0.113.10:80 (network.allow_domains[0])"]),
    ("2001:db8:113::10 80", &["allow tcp web.example [2001:db8:113::10]:80 (network.allow_domains[0])"]),
    ("203.0.113.10 443", &["deny tcp web.example 203.0.113.10:443 (otherwise)"]),
    ("2001:db8:113::20 443", &["allow tcp [2001:db8:113::20]:443 (network.allow_cidrs[0])"]),
    ("203.0.113.20 443", &["deny tcp 203.0.113.20:443 (otherwise)"]),
    ("other.example 80", &["deny name other.example A (network.allow_domains)"]),
    ("169.254.169.254 80", &["deny tcp 169.254.169.254:80 (guarded: link-local and metadata)"]),
];

#[test]
fn connections_are_told_as_they_come() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let _names = served(&world.internet, 60);
    let profile = profile(&world, "told", RULES);
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let flags = ["--net", net, "--net-log", "--profile", &profile];
        let mut command = world.run(user, &flags, &["/usr/bin/python3", "-uc", STEPS]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut zviz = command.spawn().unwrap();
        let (mut input, said) = (zviz.stdin.take().unwrap(), zviz.stderr.take().unwrap());
        let (sends, lines) = channel();
        let reader =
            thread::spawn(move || BufReader::new(said).lines().map_while(Result::ok).try_for_each(|it| sends.send(it)));
        let mut seen = Vec::new();
        for (to, wanted) in TOLD {
            writeln!(input, "{to}").unwrap();
            // It runs still, and waits for the next one.
            let mut missing: Vec<String> = wanted.iter().map(|line| format!("zviz: network: {line}")).collect();
            while !missing.is_empty() {
                let line = lines.recv_timeout(PATIENCE);
                let line = line.unwrap_or_else(|error| panic!("{net}: {to}: {missing:?}: {error}: {seen:#?}"));
                missing.retain(|wanted| !line.starts_with(wanted));
                seen.push(line);
            }
        }
        drop(input);
        assert!(zviz.wait().unwrap().success());
        let _ = reader.join();
        let all = [seen, lines.try_iter().collect()].concat();
        assert!(all.iter().all(|line| line.starts_with("zviz: network: ")), "{all:#?}");
        assert!(!all.iter().any(|line| line.contains("are missing")), "{all:#?}");
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    // The control: nothing is said without the flag.
    let command = ["sh", "-c", "echo web.example 80 | /usr/bin/python3 -c \"$0\"", STEPS];
    let quiet = run(&mut world.run(0, &["--net", "bridge", "--profile", &profile], &command));
    assert_eq!((quiet.code, &*quiet.err), (0, ""), "{quiet}");
    world.is_clean();
}

#[test]
fn connections_of_a_sandbox_are_in_its_audit() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let _names = served(&world.internet, 60);
    let profile = profile(&world, "told", &RULES.replace("mode:", "log: all, mode:"));
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let audit = world.root(user).join("audit");
        let place = audit.to_string_lossy();
        let flags = ["--net", net, "--profile", &profile, "--audit", &place, "--id", "told"];
        let to: Vec<&str> = TOLD.iter().map(|(to, _)| *to).collect();
        let script = format!("printf '{}\\n' | /usr/bin/python3 -c \"$0\"", to.join("\\n"));
        run(&mut world.run(user, &flags, &["sh", "-c", &script, STEPS])).ok();
        let text = fs::read_to_string(&audit).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let connection = |verdict: &str, rule: &str, (to, port): (&str, u16), name: Option<&str>| {
            let is = |line: &&Value| line["to"] == to && line["port"] == port;
            let line = lines.iter().find(is).unwrap_or_else(|| panic!("{net}: {to}:{port}: {text}"));
            let told = ["event", "container", "protocol", "verdict", "rule", "name"].map(|key| line[key].clone());
            let wanted = ["connection", "told", "tcp", verdict, rule].map(|word| json!(word));
            assert_eq!(told, [&wanted[..], &[json!(name)]].concat()[..], "{net}: {line}");
            assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{net}: {line}");
        };
        let web = Some("web.example");
        connection("allow", "network.allow_domains[0]", (WEB.1, 80), web);
        connection("deny", "otherwise", (WEB.0, 443), web);
        connection("allow", "network.allow_cidrs[0]", (OTHER.1, 443), None);
        connection("deny", "otherwise", (OTHER.0, 443), None);
        connection("deny", "guarded: link-local and metadata", (super::internet::METADATA.0, 80), None);
        let asked = |name: &str, verdict: &str| {
            lines.iter().any(|line| line["event"] == "name" && line["name"] == name && line["verdict"] == verdict)
        };
        assert!(asked("web.example", "allow") && asked("other.example", "deny"), "{net}: {text}");
        assert!(!asked("other.example", "allow") && !asked("web.example", "deny"), "{net}: {text}");
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}

/// Where no broker writes, the helper does; and beside a sandbox of `zviz run`, the runtime.
#[test]
fn the_audit_is_rotated_whoever_writes_it() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    const MOST: u64 = 16 << 20;
    let world = World::new();
    let folder = &world.internet.scratch;
    let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    let all = "network: {allow_cidrs: [203.0.113.10/32], log: all}\n";
    let pod = world.internet.member("pod", 77);
    let container = Container::new(&world.internet, "audited").joins(&pod).profile(all);
    // One line more than it may hold.
    let nearly_full = |name: &str| {
        let line = format!("{{\"x\":\"{}\"}}\n", "x".repeat(1015));
        fs::write(folder.join(name), line.repeat(16 << 10)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    nearly_full("audit");
    assert_eq!(size("audit"), MOST);
    let flows = ["tcp:203.0.113.10:80", "tcp:169.254.169.254:80"];
    assert_eq!(container.reaches(&flows), flows[..1]);
    let told = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default().lines().count();
    wait_for("two lines", || size("audit") < MOST && told("audit") >= 2);
    assert_eq!((size("audit.1"), size("audit.2"), told("audit")), (MOST, 0, 2));

    let logged = profile(&world, "logged", &all.replace('{', "{mode: private, "));
    nearly_full("of-run");
    let audit = folder.join("of-run");
    let flags = ["--net", "bridge", "--profile", &logged, "--audit", &audit.to_string_lossy()];
    let flows = flows.map(str::to_owned);
    assert_eq!(world.tries(0, &flags, &flows), flows[..1]);
    // The helper may still be at it when the sandbox has ended.
    wait_for("two lines", || size("of-run") < MOST && told("of-run") >= 2);
    assert_eq!((size("of-run.1"), size("of-run.2"), told("of-run")), (MOST, 0, 2));
    container.deletes();
    world.is_clean();
}
