//! Sandboxes with a network stack of the caller's own: pasta(1).

use super::internet::{HOST, METADATA, PRIVATE, Space, WEB, wait_for};
use super::sandboxes::{HOSTS, PORT, USER, World, flows};
use super::support::{requires, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

/// Names of the gateway of the host.
const GATEWAY: (&str, &str) = ("198.51.100.1", "2001:db8:51::1");
/// Says something first: Debian 12's pasta does not tell a client that it is connected before that.
const TALK: &str = "import socket, sys\n\
    for one in sys.argv[1:]:\n\
    \x20   address, port = one.rsplit('/', 1)\n\
    \x20   try:\n\
    \x20       with socket.create_connection((address, int(port)), 5) as s:\n\
    \x20           s.sendall(b'x')\n\
    \x20           print(one, s.recv(99).decode().split()[0])\n\
    \x20   except OSError as error: print(one, error)\n";

fn talk(space: &Space, to: &[String]) -> String {
    run(space.command("python3").args(["-c", TALK]).args(to)).ok()
}

fn each(test: impl Fn(&World, u32)) {
    let world = World::new();
    for user in [0, USER] {
        test(&world, user);
        wait_for("the end of pasta", || world.pastas().is_empty());
        world.is_clean();
    }
}

#[test]
fn the_internet_is_reached_by_a_program_of_the_callers() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    each(|world, user| {
        let far = flows(&[WEB.0, WEB.1], 80);
        let near = flows(&[HOST.0, HOST.1, GATEWAY.0, GATEWAY.1, "127.0.0.1", "::1"], HOSTS);
        let inner = flows(&[METADATA.0, METADATA.1, PRIVATE.0, PRIVATE.1], 80);
        let net = if user == 0 { "pasta" } else { "private" };
        let tried = [far.clone(), near, inner].concat();
        assert_eq!(world.tries(user, &["--net", net], &tried), far, "as {user}");
    });
}

#[test]
fn the_gateway_that_stands_for_the_host_is_not_there() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let probe = world.internet.probe();
    let flow = format!("tcp:{}:{HOSTS}", GATEWAY.0);
    // The control: as pasta is without a word, the host's own services are reached there.
    let mut plain = world.command(USER, "pasta");
    plain.args([
        "-q",
        "--config-net",
        "-t",
        "none",
        "-u",
        "none",
        "-T",
        "none",
        "-U",
        "none",
        "python3",
        &probe,
        &flow,
    ]);
    let said = run(&mut plain);
    assert!(said.out.contains(&format!("{flow} ok host")), "{said}");
    assert_eq!(world.tries(USER, &["--net", "pasta"], &[flow]), [""; 0]);
}

#[test]
fn published_ports_lead_to_it_and_it_ends_with_the_sandbox() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    each(|world, user| {
        let flags = ["--net", "pasta", "-p", "8080:8000", "-p", "8080:8000/udp", "-p", "127.0.0.1:8081:8000"];
        let mut open = world.shell(user, &flags);
        open.serves("open");
        let web = &world.internet.web.space;
        let to = |address: &str, port: u16| format!("{address}/{port}");
        let outside = [to(HOST.0, 8080), to(HOST.1, 8080), to(HOST.0, 8081), to(HOST.0, PORT)];
        // By IPv6 when the kernel has seen that nobody else has the link-local address: two seconds.
        wait_for("IPv6", || talk(web, &outside[1..2]).trim().ends_with(" open"));
        let said = talk(web, &outside);
        let reached: Vec<bool> = said.lines().map(|line| line.ends_with(" open")).collect();
        assert_eq!(reached, [true, true, false, false], "as {user}: {said}");
        let udp = [format!("udp:{}:8080", HOST.0)];
        assert_eq!(world.tries_from(web, &udp), udp);
        let said = talk(&world.internet.host, &[to("127.0.0.1", 8080), to("127.0.0.1", 8081), to(HOST.0, 8081)]);
        let reached: Vec<bool> = said.lines().map(|line| line.ends_with(" open")).collect();
        assert_eq!(reached, [true, true, false], "as {user}: {said}");
        assert_eq!(world.pastas().len(), 1);
        // Killed without a word: the kernel sees to the rest.
        open.is_killed();
        wait_for("the end of pasta", || world.pastas().is_empty());
        run(&mut world.zviz(user, &["gc"])).ok();
        // A process that ends has no command line before its sockets are closed.
        wait_for("the ports", || run(&mut world.run(user, &flags, &["true"])).code == 0);
        let mut again = world.shell(user, &flags);
        assert_eq!(again.does("echo x"), "x\n");
        again.ends();
    });
}

#[test]
fn when_it_dies_the_sandbox_reaches_nobody_and_that_is_told() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    each(|world, user| {
        let flows = flows(&[WEB.0, HOST.0, METADATA.0], 80);
        let probe = format!("/usr/bin/python3 /probe.py {}", flows.join(" "));
        let script = format!(
            "{probe}; echo ready; read line; while ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done; {probe}; \
             ip -o link show | grep -vc ' lo:'; true"
        );
        let folder = world.internet.scratch.join(format!("audit-{user}"));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(user), Some(user)).unwrap();
        let audit = folder.join("log");
        let audit_to = audit.to_string_lossy();
        let profile = world.internet.scratch.join("logged.yaml");
        std::fs::write(&profile, "name: logged\nnetwork: {mode: pasta, log: denied}\n").unwrap();
        let profile = profile.to_string_lossy();
        let flags = ["--profile", &*profile, "--id", "lost", "--explain", "--audit", &audit_to];
        let mut command = world.run(user, &flags, &["sh", "-c", &script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut zviz = command.spawn().unwrap();
        let mut lines = BufReader::new(zviz.stdout.take().unwrap()).lines().map(Result::unwrap);
        let before: Vec<String> = lines.by_ref().take_while(|line| line != "ready").collect();
        assert!(before[0].ends_with(" ok web") && before[2..].iter().all(|line| !line.contains(" ok ")), "{before:?}");
        let pasta = world.pastas()[0];
        kill(Pid::from_raw(pasta), Signal::SIGKILL).unwrap();
        // Its device goes some time before it does, and a sandbox that ends in between does not hear of it.
        let is_over = || match std::fs::read_to_string(format!("/proc/{pasta}/stat")) {
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X'])),
            Err(_) => true,
        };
        wait_for("the end of pasta", is_over);
        writeln!(zviz.stdin.take().unwrap(), "go on").unwrap();
        let after: Vec<String> = lines.collect();
        let mut said = String::new();
        zviz.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(zviz.wait().unwrap().success(), "{said}");
        let told = "zviz: network: pasta has ended: the sandbox has no way out any more";
        assert_eq!(said.matches(told).count(), 1, "as {user}: {said}");
        let none: Vec<String> = flows.iter().map(|flow| format!("{flow} ENETUNREACH")).collect();
        assert_eq!(after, [&none[..], &["0".to_owned()]].concat(), "as {user}");
        let why = run(&mut world.zviz(user, &["why", "lost"])).ok();
        assert!(why.contains("denied by network: pasta: ended"), "as {user}: {why}");
        let record = || std::fs::read_to_string(&audit).unwrap();
        let died =
            r#""type":"part_died","container":"lost","part":"network","how":"pasta has ended","then":"unreachable""#;
        assert_eq!(record().matches(died).count(), 1, "as {user}: {}", record());
        // The control: nothing is said of one that ends with its sandbox.
        let quiet = run(&mut world.run(user, &["--profile", &profile, "--audit", &audit_to], &["true"]));
        assert_eq!((quiet.code, &*quiet.err), (0, ""), "{quiet}");
        assert_eq!(record().matches("part_died").count(), 1, "as {user}: {}", record());
    });
}

#[test]
fn what_keeps_pasta_from_running_is_said() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    world.internet.host.shell("ip route flush default; ip -6 route flush default");
    let done = run(&mut world.run(USER, &["--net", "pasta"], &["true"]));
    assert!(done.code == 125 && done.err.contains("pasta: "), "{done}");
    let low = run(&mut world.run(USER, &["--net", "pasta", "-p", "80:80"], &["true"]));
    assert!(low.code == 125 && low.err.contains("ports below 1024 are root's"), "{low}");
    world.is_clean();
}
