//! What the kernel answers is what the interpreter does: every system call of x86-64, each under the arguments at which an
//! answer changes, through every door that the kernel has.
//!
//! Each answer of a program is replaced by an errno of its own, and allow is an answer like any other. So nothing that is
//! called happens, and hardly anything has to be left out: not exit, not the return from a signal.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)]

mod boundaries;

use std::io::Write;
use std::time::Duration;

use boundaries::{HIGH, docker, sets_of, variants};
use zviz_seccomp::{Action, Arch, Policy, Program, SeccompData, X32_BIT, compile, default_policy, name_of, number_of};
use zviz_sys::seccomp::Instruction;
use zviz_sys::victim::{Answers, Call, Entry, answers};
use zviz_sys::wait::Exit;

/// The first errno that stands for an answer; no call of the kernel's returns it.
const FIRST: u16 = 2000;
/// BPF_RET of a constant.
const RETURN: u16 = 0x06;

/// What is not among the calls, since it would end the test. Linux 6.14 and later ask no filter about these, so that no
/// filter can stand in the way of whoever traces from outside; a caller that is not one of the kernel's own trampolines gets
/// SIGILL or ENXIO: see `the_kernel_asks_no_filter_about_its_probes`.
const UNFILTERED: [&str; 2] = ["uprobe", "uretprobe"];

/// A program whose answers are errnos, and which answer each stands for, from [`FIRST`] on.
struct Marked {
    instructions: Vec<Instruction>,
    answers: Vec<Action>,
}

impl Marked {
    fn new(program: &Program) -> Marked {
        let mut answers: Vec<Action> = Vec::new();
        let mut mark = |raw: u32| {
            let action = Action::from_raw(raw);
            let at = answers.iter().position(|known| *known == action).unwrap_or_else(|| {
                answers.push(action);
                answers.len() - 1
            });
            Action::Errno(FIRST + u16::try_from(at).unwrap()).to_raw()
        };
        let instructions = program.instructions().iter().map(|i| {
            let k = if i.code == RETURN { mark(i.k) } else { i.k };
            Instruction { code: i.code, jt: i.jt, jf: i.jf, k }
        });
        Marked { instructions: instructions.collect(), answers }
    }

    fn meaning(&self, errno: u16) -> Option<Action> {
        self.answers.get(usize::from(errno.checked_sub(FIRST)?)).copied()
    }
}

/// Every policy, and the default with i386 and x32 as engines have it.
fn policies() -> Vec<(&'static str, Policy)> {
    let mut all = variants();
    let with_i386 = |policy: &Policy| Policy { architectures: vec![Arch::X86, Arch::X32], ..policy.clone() };
    let more: Vec<_> =
        [("default, i386", 0), ("nested, i386", 1)].map(|(name, at)| (name, with_i386(&all[at].1))).into();
    all.extend(more);
    all.push(("docker", docker()));
    all
}

/// The calls of one numbering, and numbers that no call has.
fn calls(policy: &Policy, entry: Entry) -> Vec<(Arch, Call)> {
    let arch = if entry == Entry::Int80 { Arch::X86 } else { Arch::X86_64 };
    let x32 = X32_BIT..X32_BIT + 600;
    let huge = [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
    let mut all = Vec::new();
    for nr in (0..600).chain(x32).chain(huge) {
        if entry == Entry::Native && unfiltered().contains(&nr) {
            continue;
        }
        let numbering = if entry == Entry::Native && nr >= X32_BIT { Arch::X32 } else { arch };
        let mut sets = vec![[u64::MAX; 6], [1, 2, 3, 4, 5, 6], [HIGH | 1; 6]];
        sets.extend(sets_of(policy, &name_of(nr, numbering).unwrap_or_default()));
        for args in sets {
            // The kernel looks at the lower half of the number's register.
            let numbers = [u64::from(nr), HIGH | u64::from(nr)];
            all.extend(numbers.map(|number| (arch, Call { entry, number, args })));
        }
    }
    all
}

fn unfiltered() -> [u32; 2] {
    UNFILTERED.map(|name| number_of(name, Arch::X86_64).unwrap())
}

fn ask(marked: &Marked, calls: &[(Arch, Call)]) -> Answers {
    let calls: Vec<Call> = calls.iter().map(|(_, call)| *call).collect();
    answers(&marked.instructions, &calls, Duration::from_secs(60)).unwrap()
}

/// How many calls were compared; None where the kernel does not have the entry.
fn compare(name: &str, policy: &Policy, calls: &[(Arch, Call)]) -> Option<usize> {
    let program = compile(policy).unwrap().program;
    let marked = Marked::new(&program);
    let Answers { errnos, ended } = ask(&marked, calls);
    if ended == Some(Exit::Signal(libc::SIGSEGV)) && errnos.is_empty() {
        return None;
    }
    assert_eq!((errnos.len(), ended), (calls.len(), None), "{name}: ended in {:?}", calls.get(errnos.len()));
    let differences = differences(&program, &marked, calls, &errnos);
    assert!(differences.is_empty(), "{name}: {}: {}", differences.len(), differences[0]);
    Some(calls.len())
}

fn differences(program: &Program, marked: &Marked, calls: &[(Arch, Call)], errnos: &[u16]) -> Vec<String> {
    let different = |((arch, call), errno): (&(Arch, Call), &u16)| {
        // i386's registers have no upper half, whatever was in it.
        let args = if call.entry == Entry::Int80 { call.args.map(|arg| arg & 0xffff_ffff) } else { call.args };
        let is = program.eval(&SeccompData::new(*arch, call.number as u32, args));
        (marked.meaning(*errno) != Some(is)).then(|| format!("{arch} {call:x?}: {is}, but the kernel: errno {errno}"))
    };
    calls.iter().zip(errnos).filter_map(different).collect()
}

fn skip(test: &str, why: &str) {
    // Past the capture of the test harness, as what was not looked at should be seen.
    let _ = std::io::stderr().write_all(format!("SKIP {test}: {why}\n").as_bytes());
}

#[test]
fn the_kernel_answers_as_the_interpreter() {
    for (name, policy) in policies() {
        let compared = compare(name, &policy, &calls(&policy, Entry::Native)).unwrap();
        println!("{name}: {compared} calls");
    }
}

#[test]
fn the_kernel_answers_i386_calls_as_the_interpreter() {
    for (name, policy) in policies() {
        match compare(name, &policy, &calls(&policy, Entry::Int80)) {
            Some(compared) => println!("{name}: {compared} calls"),
            None => return skip("the_kernel_answers_i386_calls_as_the_interpreter", "the kernel has no 32-bit calls"),
        }
    }
}

/// They come to the filter as the calls of the same name.
#[test]
fn the_kernel_answers_vsyscalls_as_the_interpreter() {
    let entries = ["gettimeofday", "time", "getcpu"].map(|name| number_of(name, Arch::X86_64).unwrap());
    let calls = [0, 1, 2].map(|number| (Arch::X86_64, Call { entry: Entry::Vsyscall, number, args: [0; 6] }));
    for (name, policy) in policies() {
        let program = compile(&policy).unwrap().program;
        let marked = Marked::new(&program);
        let Answers { errnos, ended } = ask(&marked, &calls);
        if ended == Some(Exit::Signal(libc::SIGSEGV)) && errnos.is_empty() {
            return skip("the_kernel_answers_vsyscalls_as_the_interpreter", "the kernel has no vsyscall page");
        }
        let meant: Vec<Option<Action>> = errnos.into_iter().map(|errno| marked.meaning(errno)).collect();
        let is = entries.map(|nr| Some(program.eval(&SeccompData::new(Arch::X86_64, nr, [0; 6]))));
        assert_eq!((meant, ended), (is.to_vec(), None), "{name}");
    }
}

#[test]
fn the_kernel_asks_no_filter_about_its_probes() {
    for (name, policy) in policies() {
        for nr in unfiltered() {
            let call = (Arch::X86_64, Call { entry: Entry::Native, number: u64::from(nr), args: [0; 6] });
            let Answers { errnos, ended } = ask(&Marked::new(&compile(&policy).unwrap().program), &[call]);
            match (errnos.as_slice(), ended) {
                // uretprobe, and uprobe, which says that this is no trampoline of the kernel's.
                ([], Some(Exit::Signal(libc::SIGILL))) => {}
                ([errno], None) if i32::from(*errno) == libc::ENXIO => {}
                // A kernel that does not know the call.
                _ => assert_eq!(compare(name, &policy, &[call]), Some(1), "{name}: {nr}"),
            }
        }
    }
}

/// The comparison would see a difference: between two policies there are some.
#[test]
fn another_policy_answers_otherwise() {
    let (policy, other) = (default_policy(), variants().remove(1).1);
    let (program, other) = (compile(&policy).unwrap().program, compile(&other).unwrap().program);
    let (marked, calls) = (Marked::new(&program), calls(&policy, Entry::Native));
    let errnos = ask(&marked, &calls).errnos;
    let answers: Vec<Option<Action>> = errnos.iter().map(|errno| marked.meaning(*errno)).collect();
    // Foreign architectures come in by another door.
    let missing = marked.answers.iter().find(|answer| !answers.contains(&Some(**answer)));
    assert_eq!(missing, Some(&policy.foreign_arch), "an answer that no call gets");
    let differences = differences(&other, &marked, &calls, &errnos);
    assert!(differences.len() > 20, "{differences:?}");
}
