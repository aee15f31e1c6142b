use super::*;
use crate::memory::Memory;
use proptest::prelude::*;

/// An address, at 0x1000.
struct Bytes(Vec<u8>);

impl Memory for Bytes {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let from = usize::try_from(address).ok().and_then(|at| at.checked_sub(0x1000)).ok_or(Errno::EFAULT)?;
        buffer.copy_from_slice(self.0.get(from..from + buffer.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }
}

fn policy(sockets: &str) -> Policy {
    Policy { sockets: Some(serde_json::from_str(sockets).unwrap()), ..Policy::default() }
}

fn inet(family: i32, port: u16, address: [u8; 4]) -> Vec<u8> {
    [&(family as u16).to_ne_bytes()[..], &port.to_be_bytes(), &address, &[0; 8]].concat()
}

fn unix(name: &[u8]) -> Vec<u8> {
    [&(libc::AF_UNIX as u16).to_ne_bytes()[..], name].concat()
}

fn asked(policy: &Policy, call: fn(&Policy, Held<'_>) -> Decision, address: Vec<u8>) -> Decision {
    let length = address.len() as u64;
    call(policy, Held::new([7, 0x1000, length, 0, 0, 0], &mut Bytes(address)))
}

fn work(decision: Decision) -> Work {
    match decision.step {
        Step::Do(work) => work,
        other => panic!("{other:?} by {}", decision.rule),
    }
}

#[track_caller]
fn refused(decision: &Decision, errno: Errno, rule: &str) {
    assert_eq!((&decision.step, decision.rule.as_ref()), (&Step::Refuse(errno), rule));
}

#[test]
fn the_copied_address_is_what_is_used() {
    let policy = policy(r#"{"connect":[{"allow":{"net":{"in":["10.0.0.0/8"]}}}]}"#);
    let address = inet(libc::AF_INET, 80, [10, 0, 0, 1]);
    let work = work(asked(&policy, connect, address.clone()));
    assert_eq!((work.op, work.descriptor, work.texts), (Op::Connect, Some(7), [Some(address), None, None, None]));
    refused(&asked(&policy, connect, inet(libc::AF_INET, 80, [11, 0, 0, 1])), Errno::EACCES, "sockets.otherwise");
}

#[test]
fn zeroes_are_this_machine_for_connect_only() {
    let policy = policy(r#"{"connect":[{"deny":{"net":{"in":["127.0.0.0/8"]}}}],"otherwise":"allow"}"#);
    let zeroes = inet(libc::AF_INET, 80, [0; 4]);
    refused(&asked(&policy, connect, zeroes.clone()), Errno::EACCES, "sockets.connect[0]");
    assert_eq!(work(asked(&policy, bind, zeroes.clone())).texts[0], Some(zeroes));
}

#[test]
fn all_of_ipv6_is_all_of_ipv4_too() {
    let any = |family: i32| [&(family as u16).to_ne_bytes()[..], &[0; 26]].concat();
    let six = policy(r#"{"bind":[{"allow":{"net":{"in":["::/0"]}}}]}"#);
    refused(&asked(&six, bind, any(libc::AF_INET6)), Errno::EACCES, "sockets.otherwise");
    let both = policy(r#"{"bind":[{"allow":{"net":{}}}]}"#);
    assert_eq!(work(asked(&both, bind, any(libc::AF_INET6))).op, Op::Bind);
}

#[test]
fn other_kinds_of_addresses() {
    let none = policy("{}");
    assert_eq!(work(asked(&none, connect, vec![0; 16])).texts[1], None);
    refused(&asked(&none, bind, vec![0; 16]), Errno::EACCES, "sockets.otherwise");
    assert_eq!(work(asked(&none, bind, unix(b""))).texts[1], None);
    let netlink = [&(libc::AF_NETLINK as u16).to_ne_bytes()[..], &[0; 10]].concat();
    assert_eq!(work(asked(&none, bind, netlink.clone())).texts[0], Some(netlink));
    refused(&asked(&none, connect, vec![40, 0, 0, 0]), Errno::EAFNOSUPPORT, "sockets: family");
    refused(&asked(&none, connect, vec![2, 0, 0, 0]), Errno::EINVAL, "sockets: length of the address");
    refused(&asked(&none, connect, vec![0; 129]), Errno::EINVAL, "sockets");
    refused(&asked(&none, connect, unix(b"\0name")), Errno::EACCES, "sockets.otherwise");
    refused(&connect(&none, Held::new([7, 0x10, 16, 0, 0, 0], &mut Bytes(Vec::new()))), Errno::EFAULT, "sockets");
}

#[test]
fn files_are_for_the_hand_to_judge() {
    let none = policy("{}");
    assert_eq!(work(asked(&none, connect, unix(b"/run/x\0y"))).texts[1], Some(b"/run/x".to_vec()));
    refused(&asked(&none, bind, unix(b"/run/x")), Errno::EACCES, "sockets.otherwise");
    let all = policy(r#"{"otherwise":"allow"}"#);
    assert_eq!(work(asked(&all, bind, unix(b"/run/x"))).texts[1], None);
    let some = policy(r#"{"bind":[{"allow":{"below":"/run"}}]}"#);
    assert_eq!(work(asked(&some, bind, unix(b"/x"))).texts[1], Some(b"/x".to_vec()));
}

/// Memory that says something else whenever it is asked, and sometimes nothing.
struct Fickle(Vec<u8>, usize);

impl Memory for Fickle {
    fn read(&mut self, _: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        for byte in buffer {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        if self.1 % 61 == 60 { Err(Errno::EFAULT) } else { Ok(()) }
    }
}

proptest! {
    #[test]
    fn whatever_memory_says_only_what_is_allowed_is_done(
        family in prop_oneof![Just(0u16), Just(1), Just(2), Just(10), Just(16), any::<u16>()],
        rest in proptest::collection::vec(prop_oneof![2 => Just(0u8), 2 => any::<u8>()], 1..600),
        args in proptest::array::uniform6(prop_oneof![Just(0), 2..=130u64, any::<u64>()]),
        header in any::<bool>(),
    ) {
        let policy = policy(r#"{"connect":[{"allow":{"net":{"in":["0.0.0.0/1","::/3"]}}}],"bind":[{"allow":{"net":{}}}]}"#);
        let sockets = policy.sockets.as_ref().unwrap();
        let calls = [connect, bind, messages::sendto, messages::sendmsg, messages::sendmmsg];
        let ways = [Way::Connect, Way::Bind, Way::Send, Way::Send, Way::Send];
        // An address, or the header of a message with one and what memory says then.
        let address = [&family.to_ne_bytes(), rest.as_slice()].concat();
        let lengths = [0x1000u64, 28, 0x1000, 1, 0x1000, 0, 0].map(u64::to_ne_bytes).concat();
        let bytes = if header { [lengths, address].concat() } else { address };
        for (call, way) in calls.into_iter().zip(ways) {
            let work = match call(&policy, Held::new(args, &mut Fickle(bytes.clone(), 0))).step {
                Step::Do(work) | Step::Count(work, _) => work,
                Step::LetRun(_) => {
                    prop_assert!(way == Way::Send && (args[4] == 0 || args[2] as u32 == 0));
                    continue;
                }
                _ => continue,
            };
            prop_assert!(work.texts[2].as_ref().map_or(0, Vec::len) <= messages::DATA_MAX);
            prop_assert!(work.passed.len() <= 24 && work.encode(0).len() < 5 * 4096 + messages::DATA_MAX);
            let Some(address) = &work.texts[0] else { continue };
            prop_assert!(address.len() <= ADDRESS_MAX);
            match parse(address, way) {
                Address::Internet(ip, port) => {
                    prop_assert_eq!(rules::internet(sockets, way, ip, port).verdict, Verdict::Allow);
                    prop_assert!(way == Way::Bind || !ip.to_canonical().is_unspecified());
                }
                Address::Path(path) => prop_assert!(work.texts[1].as_deref() == Some(path)),
                Address::Abstract(_) | Address::Foreign | Address::Short => prop_assert!(false, "{address:?}"),
                Address::Unnamed | Address::Netlink | Address::Nothing => {}
            }
        }
    }
}
