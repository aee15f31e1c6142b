//! A container whose names are answered, and an internet that does what it wants.

use super::{OUTSIDE, answer, inside};
use crate::support::{Container, Helper, said};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_network::names::zones;
use zviz_network::policy::{Log, Named, Policy, Verdict};
use zviz_network::wire::{Descriptor, Reply, Request, Resolver, Up};
use zviz_network::{rules, wire};

/// A container with a resolver, which ends with it.
pub struct Sandbox {
    pub container: Container,
    pub helper: Helper,
    events: std::io::PipeReader,
}

pub fn policy(names: &[&str]) -> Policy {
    let mut policy = Policy::new(Verdict::Refuse);
    policy.resolver = true;
    policy.log = Log { denied: true, allowed: true };
    policy.named = names
        .iter()
        .enumerate()
        .map(|(index, text)| Named {
            key: format!("network.allow_domains[{index}]"),
            name: text.trim_start_matches("*.").into(),
            below: text.starts_with("*."),
            ports: Vec::new(),
        })
        .collect();
    policy
}

impl Sandbox {
    pub fn new(container: Container, names: &[&str]) -> Sandbox {
        let policies = [policy(names)];
        let (events, writer) = std::io::pipe().unwrap();
        let process = zviz_sys::process::pidfd_open(container.pid()).unwrap();
        let mut kinds = vec![Descriptor::Network, Descriptor::Process, Descriptor::Events];
        let mut descriptors: Vec<OwnedFd> = vec![container.network().into(), process, writer.into()];
        if container.has_users() {
            kinds.push(Descriptor::User);
            descriptors.push(container.users().into());
        }
        let up = Up {
            container: "c1".into(),
            descriptors: kinds,
            bridge: None,
            inside: Some(rules::inside(&policies, "zviz-test")),
            untracked: None,
            resolver: Some(Resolver {
                upstream: vec![OUTSIDE.parse().unwrap()],
                names: zones(&policies),
                guarded: ["10.0.0.0/8", "169.254.0.0/16", "fc00::/7"]
                    .map(|n| n.to_owned().try_into().unwrap())
                    .to_vec(),
            }),
            joined: false,
            events: true,
            record: None,
        };
        let helper = Helper::start();
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        helper.send(&Request::Up(Box::new(up)), &descriptors);
        assert_eq!(wire::receive::<Reply>(&helper.socket).unwrap(), Reply::Done);
        Sandbox { container, helper, events }
    }

    pub fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        inside(self.container.network(), act)
    }

    /// The elements of a set, as nft prints them.
    pub fn elements(&self, set: &str) -> String {
        said(&self.container.run(&["nft", "list", "set", "inet", "zviz-test", set]))
    }

    /// Ends the container; the helper must end by itself, and whoever it started. Gives the lines that it wrote.
    pub fn end(self) -> Vec<String> {
        let Sandbox { container, mut helper, events } = self;
        drop(container);
        let start = Instant::now();
        assert!(helper.child.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(5));
        // The asker has the pipe no more than the helper.
        BufReader::new(events).lines().map(Result::unwrap).collect()
    }
}

pub fn internet(name: &str, packet: &[u8], stream: bool) -> Vec<Vec<u8>> {
    let say = |records: &[(&str, u32, &str)]| vec![answer(packet, records)];
    match name {
        "good.test" => say(&[("good.test", 0, "93.184.216.34"), ("good.test", 300, "2606:4700::1")]),
        "www.wild.test" => say(&[
            ("www.wild.test", 60, "cdn.other.test"),
            ("cdn.other.test", 40, "93.184.216.35"),
            ("unasked.test", 40, "93.184.216.99"),
        ]),
        "rebind.wild.test" => say(&[("rebind.wild.test", 60, "93.184.216.36"), ("rebind.wild.test", 60, "10.0.0.1")]),
        "alias.wild.test" => say(&[("alias.wild.test", 60, "metadata.corp"), ("metadata.corp", 60, "169.254.169.254")]),
        "big.wild.test" if !stream => {
            let mut packet = answer(packet, &[]);
            packet[2] |= 2;
            vec![packet]
        }
        "big.wild.test" => {
            let all: Vec<String> = (0..3000).map(|i| format!("93.185.{}.{}", i / 250, i % 250 + 1)).collect();
            let records: Vec<_> = all.iter().map(|address| ("big.wild.test", 60, address.as_str())).collect();
            say(&records)
        }
        many if many.starts_with("many") => {
            let which = many.trim_start_matches("many").trim_end_matches(".wild.test");
            let which: u32 = which.parse().unwrap();
            let all: Vec<String> = (1..=64).map(|i| format!("93.{}.{}.{i}", 186 + which / 256, which % 256)).collect();
            let records: Vec<_> = all.iter().map(|address| (many, 300, address.as_str())).collect();
            say(&records)
        }
        "spoof.wild.test" => {
            let mut wrong_id = answer(packet, &[("spoof.wild.test", 60, "6.6.6.6")]);
            wrong_id[1] ^= 1;
            let mut wrong_name = answer(packet, &[("spoof.wild.test", 60, "6.6.6.6")]);
            wrong_name[13] ^= 1;
            vec![wrong_id, wrong_name, vec![1, 2, 3], answer(packet, &[("spoof.wild.test", 60, "93.184.216.37")])]
        }
        "broken.wild.test" => {
            let mut broken = packet.to_vec();
            broken[2] |= 0x80;
            broken[7] = 9;
            vec![broken]
        }
        _ => Vec::new(),
    }
}

pub fn addresses(list: &[&str]) -> Vec<std::net::IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}
