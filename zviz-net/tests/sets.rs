//! Elements of sets come, stay for their time, and go.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use nftnl::{MsgType, ProtoFamily, Table};
use nix::errno::Errno;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{in_a_host, said};
use zviz_net::netfilter::Netfilter;
use zviz_net::rules;
use zviz_net::transaction::{Failure, Transaction};
use zviz_network::rules::{Family, Holds, Ruleset, Set};
use zviz_nftnl::set::{add, timed};

/// One transaction of these changes, in the namespace of the calling thread.
fn change(changes: &[(MsgType, &[Ipv4Addr], Duration)]) -> Result<(), Errno> {
    let table = Table::new(c"zviz-s", ProtoFamily::Inet);
    let mut transaction = Transaction::empty();
    for (part, (kind, addresses, lifetime)) in changes.iter().enumerate() {
        let mut set = timed(c"n4", 0, &table, 0);
        for address in *addresses {
            add(&mut set, address, Some(*lifetime));
        }
        transaction.elements(&set, *kind, part);
    }
    transaction.commit(&Netfilter::open().unwrap()).map_err(|failure| match failure {
        Failure::Refused(refused) => refused.errno,
        Failure::Other(error) => panic!("{}", error.whole()),
    })
}

fn listed() -> String {
    said(&Command::new("nft").args(["list", "set", "inet", "zviz-s", "n4"]).output().unwrap())
}

#[test]
fn elements_go_when_their_time_is_over() {
    in_a_host("elements_go_when_their_time_is_over", || {
        let sets = vec![Set { name: "n4".into(), family: Family::V4, holds: Holds::Addresses, size: 3 }];
        let ruleset = Ruleset { table: "zviz-s".into(), sets, chains: vec![], parts: vec![] };
        rules::apply(&ruleset, &Netfilter::open().unwrap()).unwrap();
        let [one, two, three, four] = [1, 2, 3, 4].map(|last| Ipv4Addr::new(192, 0, 2, last));
        let (short, long) = (Duration::from_millis(700), Duration::from_secs(100));
        change(&[(MsgType::Add, &[one, two], short), (MsgType::Add, &[three], long)]).unwrap();
        assert!(
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].iter().all(|address| listed().contains(address)),
            "{}",
            listed()
        );
        // All or nothing: there is room for three.
        assert_eq!(change(&[(MsgType::Add, &[four], long)]), Err(Errno::ENFILE));
        assert!(!listed().contains("192.0.2.4"));
        // To remove what is not there is an error, and to add what is there changes nothing; so a time is renewed by all three.
        assert_eq!(change(&[(MsgType::Del, &[four], long)]), Err(Errno::ENOENT));
        let renewed = [(MsgType::Add, &[two][..], long), (MsgType::Del, &[two], long), (MsgType::Add, &[two], long)];
        change(&renewed).unwrap();
        std::thread::sleep(Duration::from_millis(1000));
        let after = listed();
        assert!(!after.contains("192.0.2.1") && after.contains("192.0.2.2") && after.contains("192.0.2.3"), "{after}");
        // The kernel sweeps once a second: until then, what is over takes a place.
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(errno) = change(&[(MsgType::Add, &[four], long)]) {
            assert!(errno == Errno::ENFILE && Instant::now() < until, "{errno}");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Each change that is refused has an answer of its own, and none of them is one to what is asked next.
#[test]
fn what_is_refused_is_nothing_to_what_comes_next() {
    in_a_host("what_is_refused_is_nothing_to_what_comes_next", || {
        let set = |name: &str| Set { name: name.into(), family: Family::V4, holds: Holds::Addresses, size: 1 };
        let ruleset =
            Ruleset { table: "zviz-s".into(), sets: vec![set("n4"), set("other")], chains: vec![], parts: vec![] };
        let socket = Netfilter::open().unwrap();
        rules::apply(&ruleset, &socket).unwrap();
        let table = Table::new(c"zviz-s", ProtoFamily::Inet);
        let put = |name: &'static std::ffi::CStr, addresses: &[Ipv4Addr], times: usize| {
            let mut transaction = Transaction::empty();
            for part in 0..times {
                let mut set = timed(name, 0, &table, 0);
                addresses.iter().for_each(|address| add(&mut set, address, Some(Duration::from_secs(100))));
                transaction.elements(&set, MsgType::Add, part);
            }
            transaction.commit(&socket).is_ok()
        };
        let [one, two, three] = [1, 2, 3].map(|last| Ipv4Addr::new(192, 0, 2, last));
        assert!(!put(c"n4", &[one, two, three], 3), "there is room for one");
        assert!(put(c"other", &[one], 1), "and for one here");
        assert!(put(c"n4", &[one], 1));
    });
}

/// One message holds a few thousand elements, so this is several of one batch.
#[test]
fn many_elements_at_once() {
    in_a_host("many_elements_at_once", || {
        let sets = vec![Set { name: "n4".into(), family: Family::V4, holds: Holds::Addresses, size: 10_000 }];
        let ruleset = Ruleset { table: "zviz-s".into(), sets, chains: vec![], parts: vec![] };
        rules::apply(&ruleset, &Netfilter::open().unwrap()).unwrap();
        let all: Vec<_> = (0..10_000).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number)).collect();
        change(&[(MsgType::Add, &all, Duration::from_secs(100))]).unwrap();
        assert_eq!(listed().matches("expires").count(), all.len());
    });
}
