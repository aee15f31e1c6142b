//! An independent opinion: what libseccomp compiles of rules without conditions answers as our program does.

#![allow(clippy::unwrap_used)]

use libseccomp::{ScmpAction, ScmpArch, ScmpFilterContext, ScmpSyscall};
use proptest::prelude::*;
use std::io::{Read, Seek};
use zviz_seccomp::{Action, Arch, Policy, Program, Rule, SeccompData, compile, default_policy, name_of, number_of};

const LIBRARY: [(Arch, ScmpArch); 2] = [(Arch::X86_64, ScmpArch::X8664), (Arch::Aarch64, ScmpArch::Aarch64)];

fn theirs(default: Action, rules: &[(String, Action)]) -> Program {
    let action = |action: Action| match action {
        Action::Allow => ScmpAction::Allow,
        Action::Errno(errno) => ScmpAction::Errno(i32::from(errno)),
        Action::Log => ScmpAction::Log,
        _ => ScmpAction::KillProcess,
    };
    let mut filter = ScmpFilterContext::new(action(default)).unwrap();
    filter.set_act_badarch(ScmpAction::KillProcess).unwrap();
    for (arch, theirs) in LIBRARY {
        assert!(Arch::native() == arch || filter.add_arch(theirs).is_ok());
    }
    for (name, answer) in rules.iter().filter(|(_, answer)| *answer != default) {
        filter.add_rule(action(*answer), ScmpSyscall::from_name(name).unwrap()).unwrap();
    }
    let mut file = tempfile::tempfile().unwrap();
    filter.export_bpf(&file).unwrap();
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Program::from_bytes(&bytes).unwrap()
}

fn ours(default: Action, rules: &[(String, Action)]) -> Program {
    let one = |(name, action): &(String, Action)| Rule::new([name.as_str()], *action);
    let policy = Policy {
        rules: rules.iter().map(one).collect(),
        architectures: LIBRARY.map(|(arch, _)| arch).to_vec(),
        foreign_arch: Action::KillProcess,
        x32: Action::KillProcess,
        ..Policy::new(default)
    };
    compile(&policy).unwrap().program
}

/// Numbers up to the last that the rules name: above, ours answers that the call is newer, and theirs cannot.
fn numbers(arch: Arch, rules: &[(String, Action)]) -> impl Iterator<Item = u32> {
    let last = rules.iter().filter_map(|(name, _)| number_of(name, arch)).max().unwrap_or(0);
    (0..=last).chain([u32::MAX])
}

fn agree(default: Action, rules: &[(String, Action)]) {
    let (ours, theirs) = (ours(default, rules), theirs(default, rules));
    for (arch, _) in LIBRARY {
        for nr in numbers(arch, rules) {
            let call = SeccompData::new(arch, nr, [0; 6]);
            assert_eq!(ours.eval(&call), theirs.eval(&call), "{arch} {nr}");
        }
    }
    let foreign = SeccompData::new(Arch::Riscv64, 0, [0; 6]);
    assert_eq!(ours.eval(&foreign), theirs.eval(&foreign));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_without_conditions(answers in prop::collection::vec(0usize..6, 335), default in 0usize..3) {
        let actions = [Action::Allow, Action::Errno(1), Action::Log, Action::KillProcess];
        let name = |nr: usize| name_of(u32::try_from(nr).unwrap(), Arch::X86_64);
        let chosen = |(nr, answer): (usize, &usize)| Some((name(nr)?, *actions.get(*answer)?));
        let rules: Vec<(String, Action)> = answers.iter().enumerate().filter_map(chosen).collect();
        agree(actions[default], &rules);
    }
}

/// What the tree of ranges is for: each start has the kernel translate every instruction.
#[test]
fn the_default_policy_is_a_fraction_of_theirs() {
    let policy = default_policy();
    let plain = policy.rules.iter().filter(|rule| rule.args.is_empty());
    let known = |name: &&String| ScmpSyscall::from_name(name).is_ok();
    let rules: Vec<(String, Action)> =
        plain.flat_map(|rule| rule.names.iter().filter(known).map(|name| (name.clone(), rule.action))).collect();
    let theirs = theirs(policy.default, &rules).instructions().len();
    let ours = compile(&policy).unwrap().program.instructions().len();
    println!("{ours} instructions with all conditions, libseccomp's {theirs} without");
    // Arguments take three to five each, and theirs has none of them.
    assert!(ours * 9 < theirs * 5, "{ours} instructions with all conditions, libseccomp's {theirs} without");
}
