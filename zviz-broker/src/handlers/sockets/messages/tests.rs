use super::*;
use crate::memory::Memory;

const BASE: u64 = 0x1000;

/// What is at `BASE` and behind.
struct Bytes(Vec<u8>);

impl Memory for Bytes {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let from = usize::try_from(address).ok().and_then(|at| at.checked_sub(BASE as usize)).ok_or(Errno::EFAULT)?;
        buffer.copy_from_slice(self.0.get(from..from + buffer.len()).ok_or(Errno::EFAULT)?);
        Ok(())
    }
}

fn policy() -> Policy {
    let rules = r#"{"connect":[{"allow":{"net":{"in":["10.0.0.0/8"]}}}]}"#;
    Policy { sockets: Some(serde_json::from_str(rules).unwrap()), ..Policy::default() }
}

fn address(family: i32, ip: [u8; 4]) -> Vec<u8> {
    [&(family as u16).to_ne_bytes()[..], &[0, 53], &ip, &[0; 8]].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A control message.
fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = words(&[(CONTROL_HEADER + data.len()) as u64]);
    bytes.extend([level.to_ne_bytes(), kind.to_ne_bytes()].concat());
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A header at `BASE`, an address behind it, parts, control messages, data.
fn header(address: &[u8], parts: &[(u64, u64)], control: &[u8]) -> Bytes {
    let name = BASE + 64;
    let vector = name + 128;
    let ancillary = vector + 16 * parts.len() as u64;
    let name_length = address.len() as u64;
    let mut bytes = words(&[
        if address.is_empty() { 0 } else { name },
        name_length,
        vector,
        parts.len() as u64,
        ancillary,
        control.len() as u64,
        0,
        0,
    ]);
    bytes.extend_from_slice(address);
    bytes.resize(64 + 128, 0);
    parts.iter().for_each(|(base, length)| bytes.extend(words(&[*base, *length])));
    bytes.extend_from_slice(control);
    bytes.resize(4096, b'x');
    bytes.extend_from_slice(b"hello, world");
    bytes.resize(1 << 18, b'.');
    Bytes(bytes)
}

const TEXT: u64 = BASE + 4096;

fn sent(memory: &mut Bytes) -> Decision {
    sendmsg(&policy(), Held::new([5, BASE, 0x40, 0, 0, 0], memory))
}

#[track_caller]
fn work(decision: Decision) -> Work {
    match decision.step {
        Step::Do(work) | Step::Count(work, _) => work,
        other => panic!("{other:?} by {}", decision.rule),
    }
}

#[track_caller]
fn refused(decision: &Decision) -> (Errno, &str) {
    match decision.step {
        Step::Refuse(errno) => (errno, decision.rule.as_ref()),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn registers_decide_about_what_has_no_address() {
    let mut none = Bytes(Vec::new());
    let decision = sendto(&policy(), Held::new([5, 1, 2, 3, 0, 16], &mut none));
    assert!(matches!(decision.step, Step::LetRun(_)));
    let decision = sendmmsg(&policy(), Held::new([5, 1, 1 << 32, 0, 0, 0], &mut none));
    assert!(matches!(decision.step, Step::LetRun(_)));
}

#[test]
fn a_destination_is_judged_and_copied() {
    for family in [libc::AF_INET, libc::AF_UNSPEC] {
        let to = |ip| {
            let mut memory = header(&address(family, ip), &[(TEXT, 5), (TEXT + 5, 7)], &[]);
            let by_header = sent(&mut memory);
            let by_address = [5, TEXT, 12, 0x40, BASE + 64, 16];
            (by_header, sendto(&policy(), Held::new(by_address, &mut memory)))
        };
        let (message, datagram) = to([10, 0, 0, 1]);
        let message = work(message);
        assert_eq!(message, work(datagram));
        assert_eq!(message.texts[2].as_deref(), Some(&b"hello, world"[..]));
        assert_eq!((message.descriptor, message.numbers), (Some(5), [0x40, 0, 0, 0]));
        let (message, datagram) = to([11, 0, 0, 1]);
        assert_eq!([refused(&message), refused(&datagram)], [(Errno::EACCES, "sockets.otherwise"); 2]);
    }
}

#[test]
fn data_are_bounded() {
    let work = work(sent(&mut header(&[], &[(TEXT, 7), (TEXT, 100 << 10)], &[])));
    assert_eq!((work.texts[2].as_ref().map(Vec::len), work.numbers[1]), (Some(DATA_MAX), 1));
    assert_eq!(work.texts[0], None);
    assert_eq!(refused(&sent(&mut header(&[], &[(TEXT, u64::MAX)], &[]))).0, Errno::EINVAL);
    assert_eq!(refused(&sent(&mut header(&[], &[(8, 1)], &[]))).0, Errno::EFAULT);
    let mut many = header(&[], &[], &[]);
    many.0[24..32].copy_from_slice(&1025u64.to_ne_bytes());
    assert_eq!(refused(&sent(&mut many)).0, Errno::EMSGSIZE);
    let mut negative = header(&[2; 16], &[], &[]);
    negative.0[8..12].copy_from_slice(&(-1i32).to_ne_bytes());
    assert_eq!(refused(&sent(&mut negative)).0, Errno::EINVAL);
    let zero_copy = [5, BASE, u64::from(MSG_ZEROCOPY), 0, 0, 0];
    let decision = sendmsg(&policy(), Held::new(zero_copy, &mut header(&[], &[(TEXT, 1)], &[])));
    assert_eq!(refused(&decision).0, Errno::ENOBUFS);
}

#[test]
fn control_messages_are_sorted() {
    let fds: Vec<u8> = [3i32, 4, 9].iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    let tos = control(0, 1, &[8, 0, 0, 0]);
    let given = [control(1, 1, &fds), control(1, 2, &[0; 12]), tos.clone()].concat();
    let work = work(sent(&mut header(&[], &[(TEXT, 1)], &given)));
    assert_eq!((work.passed, work.texts[3].clone()), (vec![3, 4, 9], Some(tos)));
    for (given, errno) in [
        // IPV6_RTHDR, IP_RETOPTS.
        (control(41, 57, &[0; 24]), Errno::EOPNOTSUPP),
        (control(0, 7, &[0; 8]), Errno::EOPNOTSUPP),
        (control(1, 1, &[0; 25 * 4]), Errno::ETOOMANYREFS),
        (words(&[15, 0]), Errno::EINVAL),
        (words(&[17, 0]), Errno::EINVAL),
        (words(&[u64::MAX, 0]), Errno::EINVAL),
        (vec![0; CONTROL_MAX + 8], Errno::ENOBUFS),
    ] {
        assert_eq!(refused(&sent(&mut header(&[], &[(TEXT, 1)], &given))).0, errno, "{given:?}");
    }
    assert_eq!(sort(&[1; 15]), Ok((Vec::new(), Vec::new())));
}

#[test]
fn many_are_one_by_one() {
    let mut memory = header(&address(libc::AF_INET, [10, 0, 0, 1]), &[(TEXT, 1)], &[]);
    let decision = sendmmsg(&policy(), Held::new([5, BASE, 8, 0, 0, 0], &mut memory));
    assert!(matches!(decision.step, Step::Count(_, place) if place == BASE + 56));
    let decision = sendmmsg(&policy(), Held::new([5, u64::MAX - 8, 8, 0, 0, 0], &mut memory));
    assert_eq!(refused(&decision).0, Errno::EFAULT);
}
