//! For fuzzers: what must hold of any bytes.

use crate::{
    Action, Arch, CATEGORIES, Compare, Fallback, Op, Policy, Program, Rule, SeccompData, Variant, X32_BIT, compile,
    number_of, policy_with,
};

/// Any bytes are a program or an error, and any program answers any call.
pub fn fuzz_program(bytes: &[u8]) {
    let (head, rest) = bytes.split_at(bytes.len().min(64));
    let mut head = Bytes(head);
    let (nr, arch, instruction_pointer) = (head.half(), head.half(), head.word());
    let data = SeccompData { nr, arch, instruction_pointer, args: std::array::from_fn(|_| head.word()) };
    if let Ok(program) = Program::from_bytes(rest) {
        let answer = program.eval(&data);
        let again = Program::from_bytes(&program.as_bytes());
        assert!(again.is_ok_and(|again| again.eval(&data) == answer && !again.to_string().is_empty()));
    }
}

/// Any policy compiles or is wrong in words, and what is compiled answers every call as the policy decides it.
///
/// The bytes say: a shape, the policies, and calls until they end.
pub fn fuzz_policy(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let policy = match bytes.byte() % 4 {
        0 => Some(alone(&mut bytes)),
        1 => variant(&mut bytes),
        2 => variant(&mut bytes).map(|limit| alone(&mut bytes).within(limit)),
        _ => Some(alone(&mut bytes).within(alone(&mut bytes))),
    };
    let Some(policy) = policy else { return };
    let program = match compile(&policy) {
        Ok(compiled) => compiled.program,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Program::from_bytes(&program.as_bytes()).ok().as_ref(), Some(&program));
    let compares: Vec<Compare> =
        policy.all().iter().flat_map(|policy| &policy.rules).flat_map(|rule| rule.args.iter().copied()).collect();
    let named: Vec<String> = policy.all().iter().flat_map(|policy| policy.names().map(str::to_owned)).collect();
    for _ in 0..CALLS {
        let (arch, nr, args) = call(&mut bytes, &named, &compares);
        let (is, should) = (program.eval(&SeccompData::new(arch, nr, args)), policy.decide(arch, nr, &args));
        assert_eq!(is, should, "{arch} {nr:#x} {args:x?}\n{policy:#?}\n{program}");
        if bytes.0.is_empty() {
            break;
        }
    }
}

/// Calls of one run: each is decided by looking every name up, which takes a while.
const CALLS: usize = 64;

/// Calls that are alike, next to one another, of one architecture, in multiplexers, and of none.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "read", "write", "open", "openat", "openat2", "ioctl", "socket", "socketcall", "accept", "shmget", "ipc", "semop", "clone",
    "clone3", "personality", "prctl", "mseal", "statmount", "futex_wait", "uretprobe", "setsockopt", "execve", "mount",
    "mknod", "mknodat", "arch_prctl", "made_up",
];

/// s390x has the other byte order, which is an error.
const ARCHS: &[Arch] =
    &[Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm, Arch::Mipsel64n32, Arch::Ppc64le, Arch::S390x];

/// Takes values off bytes, and zeroes when there are none left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn half(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        // Two bytes for long lists, so that those of short ones stay readable.
        let index = if of.len() > 256 { usize::from(self.byte()) << 8 } else { 0 } | usize::from(self.byte());
        of.get(index % of.len().max(1))
    }

    fn action(&mut self) -> Action {
        match self.byte() % 9 {
            0 | 1 => Action::Allow,
            2 => Action::Errno(u16::from(self.byte())),
            3 => Action::Notify,
            4 => Action::KillProcess,
            5 => Action::KillThread,
            6 => Action::Trap,
            7 => Action::Log,
            _ => Action::Trace(u16::from(self.byte())),
        }
    }

    fn value(&mut self) -> u64 {
        match self.byte() % 8 {
            0..=2 => u64::from(self.byte()),
            3 => 0x7e02_0000,
            4 => 0xffff_ffff,
            5 => u64::MAX,
            6 => 1 << (self.byte() % 64),
            _ => self.word(),
        }
    }

    /// An argument no call has among them, now and then.
    fn compare(&mut self) -> Compare {
        let index = self.byte();
        let index = if index == u8::MAX { index } else { index % 6 };
        let op = match self.byte() % 7 {
            0 => Op::Ne,
            1 => Op::Lt,
            2 => Op::Le,
            3 => Op::Eq,
            4 => Op::Ge,
            5 => Op::Gt,
            _ => Op::MaskedEq(self.value()),
        };
        Compare { index, op, value: self.value() }
    }

    fn names(&mut self) -> Vec<String> {
        (0..=self.byte() % 4).filter_map(|_| self.pick(NAMES)).map(|name| (*name).to_owned()).collect()
    }
}

fn alone(bytes: &mut Bytes) -> Policy {
    let mut policy = Policy::new(bytes.action());
    (policy.foreign_arch, policy.x32) = (bytes.action(), bytes.action());
    policy.architectures = (0..bytes.byte() % 4).filter_map(|_| bytes.pick(ARCHS).copied()).collect();
    for _ in 0..bytes.byte() % 16 {
        let (names, action) = (bytes.names(), bytes.action());
        let args = (0..bytes.byte() % 4).map(|_| bytes.compare()).collect();
        policy.rules.push(Rule { names, action, args });
    }
    for _ in 0..bytes.byte() % 3 {
        policy.fallbacks.push(Fallback { names: bytes.names(), action: bytes.action() });
    }
    policy
}

/// One of the default policy's, if what is asked for may be.
fn variant(bytes: &mut Bytes) -> Option<Policy> {
    let calls: Vec<&str> = CATEGORIES.iter().flat_map(|category| category.calls.iter().copied()).collect();
    let nested = bytes.byte() % 2 == 1;
    let notify = (0..bytes.byte() % 16).filter_map(|_| bytes.pick(&calls)).map(|name| (*name).to_owned()).collect();
    match policy_with(&Variant { notify, nested, ..Variant::default() }) {
        Ok(policy) => {
            assert_eq!(policy.flags.wait_killable_recv, policy.notifies());
            Some(policy)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// A call of a name that a policy has, most often, with arguments at what its rules compare with.
fn call(bytes: &mut Bytes, named: &[String], compares: &[Compare]) -> (Arch, u32, [u64; 6]) {
    let arch = bytes.pick(ARCHS).copied().unwrap_or(Arch::X86_64);
    let name = bytes.pick(named).and_then(|name| number_of(name, arch));
    let nr = match (bytes.byte() % 8, name) {
        (0, _) | (_, None) => bytes.half(),
        (1, Some(nr)) => nr.wrapping_add(1),
        (2, Some(nr)) => nr.wrapping_sub(1),
        (3, Some(nr)) => nr ^ X32_BIT,
        (_, Some(nr)) => nr,
    };
    let mut args = std::array::from_fn(|_| bytes.value());
    for _ in 0..bytes.byte() % 4 {
        let Some(near) = bytes.pick(compares) else { break };
        let mask = if let Op::MaskedEq(mask) = near.op { mask } else { 1 << 33 };
        let value = match bytes.byte() % 8 {
            0 => near.value.wrapping_sub(1),
            1 => near.value.wrapping_add(1),
            2 => near.value ^ (1 << 32),
            3 => near.value ^ mask,
            4 => near.value | !mask,
            _ => near.value,
        };
        if let Some(arg) = args.get_mut(usize::from(near.index)) {
            *arg = value;
        }
    }
    // The kernel shows a 32-bit caller's registers without an upper half.
    let narrow = arch.audit() & 0x8000_0000 == 0;
    (arch, nr, args.map(|arg| if narrow { arg & 0xffff_ffff } else { arg }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_is_taken() {
        for bytes in [&[][..], &[0xff; 200], &[1; 300], &[2; 300], &[3; 300]] {
            fuzz_program(bytes);
            fuzz_policy(bytes);
        }
        let mut bytes = vec![0; 64];
        bytes.extend([0x16, 0, 0, 0, 0, 0, 0, 0]);
        fuzz_program(&bytes);
    }
}
