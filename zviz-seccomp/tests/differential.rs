//! What a compiled policy answers is what the policy decides: for random policies, over the calls that they name, their
//! neighbours, and the arguments around each value that a rule compares with; for every built-in policy, over every call.

#![allow(clippy::unwrap_used)]

mod boundaries;

use boundaries::{docker, sets_of, variants};
use proptest::prelude::*;
use zviz_seccomp::{
    Action, Arch, Compare, Fallback, Op, Policy, Rule, SeccompData, X32_BIT, compile, name_of, number_of,
};

const NAMES: &[&str] = &[
    "read",
    "write",
    "openat",
    "open",
    "ioctl",
    "socket",
    "socketcall",
    "accept",
    "shmget",
    "ipc",
    "semop",
    "clone",
    "clone3",
    "personality",
    "prctl",
    "mseal",
    "statmount",
    "futex_wait",
    "uretprobe",
    "setsockopt",
    "execve",
    "ptrace",
    "landlock_restrict_self",
    "made_up",
];
const ARCHS: &[Arch] =
    &[Arch::X86_64, Arch::X32, Arch::X86, Arch::Aarch64, Arch::Arm, Arch::Mipsel, Arch::Mipsel64n32, Arch::Ppc64le];

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Allow),
        3 => (1u16..200).prop_map(Action::Errno),
        1 => Just(Action::Errno(38)),
        1 => Just(Action::KillProcess),
        1 => Just(Action::KillThread),
        1 => Just(Action::Trap),
        1 => Just(Action::Log),
        1 => Just(Action::Notify),
        1 => (0u16..9).prop_map(Action::Trace),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, Just(0x7e02_0000), Just(0xffff_ffff), Just(1 << 32), Just(u64::MAX), any::<u64>()]
}

fn compare() -> impl Strategy<Value = Compare> {
    let op = prop_oneof![
        Just(Op::Ne),
        Just(Op::Lt),
        Just(Op::Le),
        Just(Op::Eq),
        Just(Op::Ge),
        Just(Op::Gt),
        value().prop_map(Op::MaskedEq)
    ];
    (0u8..6, op, value()).prop_map(|(index, op, value)| Compare { index, op, value })
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(NAMES).prop_map(str::to_owned), 1..5)
}

fn policy() -> impl Strategy<Value = Policy> {
    let few = prop_oneof![2 => Just(0), 2 => Just(1), 1 => Just(2)];
    (alone(), few.prop_flat_map(|count| prop::collection::vec(alone(), count)))
        .prop_map(|(policy, others)| others.into_iter().fold(policy, Policy::within))
}

fn alone() -> impl Strategy<Value = Policy> {
    let args = prop_oneof![Just(Vec::new()), prop::collection::vec(compare(), 1..4)];
    let rule = (names(), action(), args).prop_map(|(names, action, args)| Rule { names, action, args });
    let fallback = (names(), action()).prop_map(|(names, action)| Fallback { names, action });
    let archs = prop::sample::subsequence(ARCHS, 0..4);
    let lists = (archs, prop::collection::vec(rule, 0..12), prop::collection::vec(fallback, 0..2));
    (action(), action(), action(), lists).prop_map(|(default, foreign_arch, x32, (architectures, rules, fallbacks))| {
        Policy { foreign_arch, x32, architectures, rules, fallbacks, ..Policy::new(default) }
    })
}

/// Argument sets around every value that a rule on some call compares with.
fn argument_sets(policy: &Policy) -> Vec<[u64; 6]> {
    let mut sets = vec![[0; 6], [u64::MAX; 6], [1, 2, 3, 4, 5, 6]];
    for rule in policy.within.iter().flat_map(|policy| &policy.rules).chain(&policy.rules) {
        let mut holding = [0u64; 6];
        for compare in &rule.args {
            holding[usize::from(compare.index)] = compare.value;
        }
        sets.push(holding);
        for compare in &rule.args {
            let mask = if let Op::MaskedEq(mask) = compare.op { mask } else { 1 << 33 };
            let around = [compare.value.wrapping_sub(1), compare.value.wrapping_add(1), compare.value ^ (1 << 32)];
            for near in around.into_iter().chain([compare.value ^ mask, compare.value & mask, compare.value | !mask]) {
                let mut set = holding;
                set[usize::from(compare.index)] = near;
                sets.push(set);
            }
        }
    }
    for operation in [1, 5, 23] {
        sets.push([operation, 7, 7, 7, 7, 7]);
    }
    sets
}

fn numbers(arch: Arch) -> Vec<u32> {
    let named: Vec<u32> = NAMES.iter().filter_map(|name| number_of(name, arch)).collect();
    let near = named.iter().flat_map(|nr| [nr.wrapping_sub(1), *nr, nr + 1, nr ^ X32_BIT]);
    near.chain([0, 102, 117, 600, 4600, X32_BIT, X32_BIT + 600, 0x8000_0001, u32::MAX - 1, u32::MAX]).collect()
}

/// Whether every policy knows the architecture, and x32 for its numbers.
fn shared(policy: &Policy, arch: Arch, nr: u32) -> bool {
    let numbering = match arch {
        Arch::X86_64 | Arch::X32 if nr >= X32_BIT => Arch::X32,
        Arch::X86_64 | Arch::X32 => Arch::X86_64,
        other => other,
    };
    policy.within.iter().chain([policy]).all(|policy| policy.known_architectures().contains(&numbering))
}

fn agree(policy: &Policy) -> Result<(), TestCaseError> {
    let program = compile(policy).map_err(|error| TestCaseError::fail(format!("{error:?}")))?.program;
    let sets = argument_sets(policy);
    for arch in ARCHS.iter().copied().chain([Arch::Riscv64]) {
        for nr in numbers(arch) {
            let named = policy.within.iter().chain([policy]).flat_map(|policy| &policy.rules).any(|rule| {
                rule.names.iter().any(|name| number_of(name, arch) == Some(nr)) || matches!(nr, 102 | 117 | 4102 | 4117)
            });
            for args in &sets[..if named { sets.len() } else { 3 }] {
                // The kernel shows a 32-bit caller's registers without an upper half.
                let narrow = arch.audit() & 0x8000_0000 == 0;
                let args = args.map(|arg| if narrow { arg & 0xffff_ffff } else { arg });
                let (is, should) = (program.eval(&SeccompData::new(arch, nr, args)), policy.decide(arch, nr, &args));
                prop_assert_eq!(is, should, "{} {:#x} {:x?}\n{}", arch, nr, args, program);
                if shared(policy, arch, nr) {
                    let limits = policy.within.iter().map(|other| other.decide(arch, nr, &args));
                    for limit in limits.chain([Policy { within: Vec::new(), ..policy.clone() }.decide(arch, nr, &args)])
                    {
                        prop_assert!(is.rank() <= limit.rank(), "{} {:#x} {:x?} weaker than {}", arch, nr, args, limit);
                    }
                }
            }
        }
    }
    Ok(())
}

/// PROPTEST_CASES, or what an ordinary test run has time for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_is_decided(policy in policy()) {
        agree(&policy)?;
    }
}

#[test]
fn every_call_of_every_built_in_policy() {
    for (variant, policy) in variants().into_iter().chain([("docker", docker())]) {
        // Other numberings are decided by the same names: two variants show it.
        let more = matches!(variant, "default" | "nested");
        let architectures = if more { vec![Arch::Aarch64, Arch::X32, Arch::X86] } else { policy.architectures.clone() };
        let policy = Policy { architectures, ..policy };
        let compiled = compile(&policy).unwrap();
        // Docker names calls of architectures that an older libseccomp does not know.
        assert!(variant == "docker" || compiled.skipped.is_empty(), "{variant}: {:?}", compiled.skipped);
        assert!(compiled.shadowed.is_empty(), "{variant}: {:?}", compiled.shadowed);
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::X32, Arch::X86, Arch::Arm] {
            let base = if arch == Arch::X32 { X32_BIT } else { 0 };
            for nr in (base..base + 500).chain([u32::MAX, 0x7fff_ffff]) {
                let named = name_of(nr, arch).unwrap_or_default();
                for args in sets_of(&policy, &named) {
                    let args = if arch.is_32bit() { args.map(|arg| arg & 0xffff_ffff) } else { args };
                    let is = compiled.program.eval(&SeccompData::new(arch, nr, args));
                    assert_eq!(is, policy.decide(arch, nr, &args), "{variant}: {arch} {nr} {named} {args:x?}");
                }
            }
        }
    }
}

#[test]
fn nothing_but_a_default() {
    for default in [Action::Allow, Action::Errno(1), Action::Errno(38), Action::KillProcess] {
        agree(&Policy::new(default)).unwrap();
    }
}

#[test]
fn more_rules_than_a_tree_needs() {
    let mut policy = Policy::new(Action::Errno(1));
    let all = (0..460).filter_map(|nr| name_of(nr, Arch::X86_64)).filter(|name| name != "openat");
    policy.rules = vec![Rule::new(all, Action::Allow), Rule::new(["mseal"], Action::Log)];
    policy.architectures = vec![Arch::X86_64, Arch::X86, Arch::X32];
    agree(&policy).unwrap();
}

#[test]
fn an_architecture_of_the_other_byte_order_is_an_error() {
    let policy = Policy { architectures: vec![Arch::S390x], ..Policy::new(Action::Allow) };
    assert_eq!(compile(&policy).unwrap_err().to_string(), "architecture s390x: its byte order is not this machine's");
}
