//! A call out of bytes: which one, its registers, and what memory says, in the order in which it is asked. Every read gives what
//! comes next, so that nothing that is read twice is the same.

use nix::errno::Errno;
use std::sync::OnceLock;
use zviz_broker::decision::{Step, Work};
use zviz_broker::handlers::bpf::{self, program};
use zviz_broker::handlers::sockets::address::{Address, Way, parse};
use zviz_broker::handlers::sockets::rules;
use zviz_broker::held::Held;
use zviz_broker::memory::Memory;
use zviz_broker::policy::Policy;
use zviz_broker::policy::sockets::Verdict;
use zviz_broker::table::TABLE;

/// The most that one call has reason to read: a message, its header, parts and control messages, or three paths.
const MOST: usize = (64 << 10) + (32 << 10);
const PAGE: u64 = 4096;

struct Oracle<'d> {
    says: &'d [u8],
    read: usize,
}

impl Memory for Oracle<'_> {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let last = address.checked_add(buffer.len() as u64 - 1).ok_or(Errno::EFAULT)?;
        assert_eq!(address / PAGE, last / PAGE, "a read crosses a page");
        self.read += buffer.len();
        assert!(self.read <= MOST, "{} bytes are read for one call", self.read);
        let (now, later) = self.says.split_at(self.says.len().min(buffer.len()));
        buffer.fill(0);
        buffer[..now.len()].copy_from_slice(now);
        self.says = later;
        // The end of what is said is the end of what is mapped.
        if now.is_empty() { Err(Errno::EFAULT) } else { Ok(()) }
    }
}

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        serde_json::from_str(
            r#"{"bpf_devices":true,"files":{},"mounts":{},"nodes":true,"sysinfo":true,"uname":{"release":"1","version":"2"},
            "sockets":{"connect":[{"allow":{"net":{"in":["10.0.0.0/8","fd00::/8"],"ports":["1-1024"]}}},
            {"allow":{"abstract":"a"}}],"bind":[{"allow":{"below":"/run"}},{"allow":{"net":{"in":["127.0.0.1"]}}}]}}"#,
        )
        .expect("the policy is one")
    })
}

/// Decides about the call, and looks at the decision: whether something is done.
pub fn check(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else { return false };
    let entry = &TABLE[usize::from(*first) % TABLE.len()];
    let (registers, says) = rest.split_at(rest.len().min(48));
    let mut args = [0u64; 6];
    for (arg, bytes) in args.iter_mut().zip(registers.chunks(8)) {
        bytes.iter().rev().for_each(|byte| *arg = *arg << 8 | u64::from(*byte));
    }
    let mut oracle = Oracle { says, read: 0 };
    let decision = (entry.decide)(policy(), Held::new(args, &mut oracle));
    assert!(!decision.rule.is_empty());
    match decision.step {
        Step::LetRun(_) => assert_eq!(oracle.read, 0, "{} is let run after a look", entry.name),
        Step::Do(work) | Step::Count(work, _) => {
            is_sound(entry.name, &work);
            return true;
        }
        _ => {}
    }
    false
}

/// What is loaded has been checked whole, and nothing else is done without a cgroup.
fn is_harmless(work: &Work) {
    match &work.texts[0] {
        Some(bytes) => assert_eq!(program::check(&bpf::instructions(bytes)), Ok(())),
        None => assert!(work.descriptor.is_some()),
    }
}

fn is_sound(name: &str, work: &Work) {
    let packet = work.encode(0o22);
    assert!(packet.len() <= 5 * 4096 + (64 << 10), "{name}: {} bytes", packet.len());
    let (again, umask) = Work::decode(&packet).expect("what is encoded can be decoded");
    assert_eq!((again.op, again.numbers, &again.texts, umask), (work.op, work.numbers, &work.texts, 0o22));
    assert!(work.passed.len() <= 24);
    let way = match name {
        "bpf" => return is_harmless(work),
        "connect" => Way::Connect,
        "bind" => Way::Bind,
        "sendto" | "sendmsg" | "sendmmsg" => Way::Send,
        _ => return,
    };
    let (Some(address), Some(sockets)) = (&work.texts[0], &policy().sockets) else { return };
    let ruling = match parse(address, way) {
        Address::Internet(ip, port) => rules::internet(sockets, way, ip, port),
        Address::Abstract(name) => rules::abstract_name(sockets, way, name),
        Address::Path(path) => return assert_eq!(work.texts[1].as_deref(), Some(path)),
        Address::Foreign | Address::Short => panic!("{name} to {address:?}"),
        Address::Unnamed | Address::Netlink | Address::Nothing => return,
    };
    assert_eq!(ruling.verdict, Verdict::Allow, "{name} to {address:?}");
}
