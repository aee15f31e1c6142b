//! What a policy answers, read off its rules: the reference that compiled programs are compared with.

use crate::arch::X32_BIT;
use crate::syscalls::{self, Resolved};
use crate::{Action, Arch, Compare, ENOSYS, Policy, Source};

impl Policy {
    /// The answer to a call. Slow and plain; [`crate::Program::eval`] of the compiled policy gives the same.
    pub fn decide(&self, arch: Arch, nr: u32, args: &[u64; 6]) -> Action {
        let all = self.all();
        let strictest = |answer: &dyn Fn(&Policy) -> Action| {
            all.iter().map(|policy| answer(policy)).fold(answer(self), Action::stricter)
        };
        match self.numbered(arch, nr) {
            Ok(arch) => strictest(&|policy| policy.decide_alone(arch, nr, args)),
            Err(Source::ForeignArch) => strictest(&|policy| policy.foreign_arch),
            Err(Source::X32) => strictest(&|policy| policy.x32),
            Err(_) => strictest(&|policy| policy.default),
        }
    }

    /// By which architecture's numbers a call is judged, or what answers before that is asked.
    pub(crate) fn numbered(&self, arch: Arch, nr: u32) -> Result<Arch, Source> {
        let all = self.all();
        let shared = |arch: &Arch| all.iter().all(|policy| policy.known_architectures().contains(arch));
        if !Arch::all().filter(|known| known.audit() == arch.audit()).any(|known| shared(&known)) {
            return Err(Source::ForeignArch);
        }
        // A tracer sets the number -1 to have a call skipped (ptrace(2)): no call of any ABI.
        if nr == u32::MAX {
            return Err(Source::Default);
        }
        match numbering(arch, nr) {
            Arch::X32 if !shared(&Arch::X32) => Err(Source::X32),
            arch => Ok(arch),
        }
    }

    fn decide_alone(&self, arch: Arch, nr: u32, args: &[u64; 6]) -> Action {
        let by_number = |found: &Resolved| found.direct == Some(nr);
        if let Some(always) = self.unconditional(arch, by_number) {
            return always;
        }
        let answer = self.strictest(arch, by_number, |compares| compares.iter().all(|c| c.holds(arch, args)));
        // Through socketcall and ipc a call's own arguments lie behind a pointer: every condition may hold, or none.
        let operation = Some((nr, args[0] as u32));
        let by_operation = |found: &Resolved| found.through == operation;
        let inner = self.unconditional(arch, by_operation).or_else(|| {
            let any = self.strictest(arch, by_operation, |_| true);
            let none = self.fallback(arch, by_operation);
            any.map(|any| any.stricter(none.unwrap_or(self.default))).or(none)
        });
        let answer = match (answer, inner) {
            (Some(a), Some(b)) => Some(a.stricter(b)),
            (a, b) => a.or(b),
        };
        answer.or_else(|| self.fallback(arch, by_number)).unwrap_or_else(|| self.unnamed(arch, nr))
    }

    /// The answer to a call that nothing else decides.
    fn unnamed(&self, arch: Arch, nr: u32) -> Action {
        // s390's number 0 stands for any call whose number the kernel does not know.
        let unknown = nr == 0 && matches!(arch, Arch::S390 | Arch::S390x);
        let newer = self.last_number(arch).is_some_and(|last| nr > last);
        if self.knows_future() && (unknown || newer) { ENOSYS } else { self.default }
    }

    /// The same, unless a rule or a fallback always decides.
    pub(crate) fn otherwise(&self, arch: Arch, nr: u32) -> Option<Action> {
        let by_number = |found: &Resolved| found.direct == Some(nr);
        let decided = self.unconditional(arch, by_number).or_else(|| self.fallback(arch, by_number));
        decided.is_none().then(|| self.unnamed(arch, nr))
    }

    /// Whether one of some names is a call's: its own, or of what it is a way to (socketcall(2), ipc(2)).
    pub(crate) fn is_named(names: &[String], arch: Arch, nr: u32) -> bool {
        any_name(names, arch, |found| found.direct == Some(nr) || found.through.is_some_and(|(call, _)| call == nr))
    }

    fn unconditional(&self, arch: Arch, picks: impl Fn(&Resolved) -> bool) -> Option<Action> {
        let mut rules = self.rules.iter().filter(|rule| rule.args.is_empty() && rule.action != self.default);
        rules.find(|rule| any_name(&rule.names, arch, &picks)).map(|rule| rule.action)
    }

    fn strictest(
        &self,
        arch: Arch,
        picks: impl Fn(&Resolved) -> bool,
        holds: impl Fn(&[Compare]) -> bool,
    ) -> Option<Action> {
        let rules = self.rules.iter().filter(|rule| !rule.args.is_empty() && any_name(&rule.names, arch, &picks));
        let holding = rules.filter(|rule| rule.alternatives().into_iter().any(&holds));
        holding.map(|rule| rule.action).reduce(Action::stricter)
    }

    fn fallback(&self, arch: Arch, picks: impl Fn(&Resolved) -> bool) -> Option<Action> {
        let mut fallbacks = self.fallbacks.iter();
        fallbacks.find(|fallback| any_name(&fallback.names, arch, &picks)).map(|fallback| fallback.action)
    }

    /// The highest number that this policy alone names. One that names no call is not old, but meant so.
    pub(crate) fn last_number(&self, arch: Arch) -> Option<u32> {
        let numbers = self.names().filter_map(|name| syscalls::resolve(name, arch)?.highest());
        numbers.max().filter(|last| *last != 0)
    }
}

fn any_name(names: &[String], arch: Arch, picks: impl Fn(&Resolved) -> bool) -> bool {
    names.iter().any(|name| syscalls::resolve(name, arch).is_some_and(|found| picks(&found)))
}

/// x86-64 and x32 are told apart by the number.
fn numbering(arch: Arch, nr: u32) -> Arch {
    match arch {
        Arch::X86_64 | Arch::X32 if nr >= X32_BIT => Arch::X32,
        Arch::X86_64 | Arch::X32 => Arch::X86_64,
        other => other,
    }
}
