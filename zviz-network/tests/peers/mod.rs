//! A peer with addresses of which two may be reached and two not, where somebody answers, and rules that say so.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part, and a panic is how tests fail")]

use crate::policies::network;
use crate::space::{ECHO, Far, run};
use std::io::Error;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use zviz_network::policy::{Policy, Rule, Verdict};
use zviz_network::rules::{Ruleset, inside, untracked};

pub const ALLOWED: [&str; 2] = ["192.0.2.5", "2001:db8::5"];
pub const FORBIDDEN: [&str; 2] = ["192.0.2.9", "2001:db8::9"];
pub const PORT: u16 = 80;

/// Two addresses may be reached.
pub fn rules(raw: bool) -> Ruleset {
    let networks = ALLOWED.map(network).into();
    let key = "network.egress.allow[0]".to_owned();
    let rule = Rule { key, verdict: Verdict::Accept, networks, protocol: None, ports: Vec::new() };
    let policy = Policy { egress: vec![rule], links: vec![network("::/0")], raw, ..Policy::new(Verdict::Drop) };
    let policies = [policy.clone(), policy];
    untracked(&policies, "zviz-test").unwrap_or_else(|| inside(&policies, "zviz-test"))
}

/// A peer with all of these addresses, where somebody answers.
pub fn peer() -> Far {
    let far = Far::new(Some("peers::an_echo"));
    for address in ALLOWED.iter().chain(&FORBIDDEN) {
        let flags = if address.contains(':') { " nodad" } else { "" };
        run(&far.there(&format!("ip addr add {address} dev far0{flags}")));
    }
    run(&far.there("ip route add default dev far0"));
    run(&far.there("ip -6 route add default dev far0"));
    far
}

pub fn connect(address: &str, port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(address.parse().unwrap(), port), Duration::from_secs(1))
}

/// A connection to somebody who may still be on his way.
pub fn eventually(address: &str) -> TcpStream {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match connect(address, PORT) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// At the other end, as long as it is let live.
#[test]
#[ignore = "is what a test of connections speaks to"]
fn an_echo() {
    if std::env::var_os(ECHO).is_none() {
        return;
    }
    run("ip link set lo up");
    let server = TcpListener::bind(("::", PORT)).unwrap();
    for stream in server.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || {
            std::io::copy(&mut &stream, &mut &stream)?;
            Ok::<_, Error>(())
        });
    }
}
