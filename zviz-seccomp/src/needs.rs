//! Whether a program lets a process that has just loaded it do what it still must.

use crate::{Action, Arch, Program, SeccompData, number_of};

/// Asks whether `program` allows every call of `needed`, by name and arguments, on the native architecture: what init
/// does between loading the filter and the end of execve. A call that a supervisor or a tracer decides is not allowed:
/// neither serves yet. The error lists the calls, each with the answer it gets.
pub fn may_finish_init(program: &Program, needed: &[(&str, [u64; 6])]) -> Result<(), Vec<String>> {
    let refusal = |(name, args): &(&str, [u64; 6])| {
        let Some(nr) = number_of(name, Arch::native()) else { return Some(format!("{name}: unknown")) };
        match program.eval(&SeccompData::new(Arch::native(), nr, *args)) {
            Action::Allow | Action::Log => None,
            answer => Some(format!("{name}: {answer}")),
        }
    };
    let refused: Vec<String> = needed.iter().filter_map(refusal).collect();
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ENOSYS, Op, Policy, Rule, compile};

    #[test]
    fn says_which_calls_are_refused_and_how() {
        let mut policy = Policy::new(Action::Errno(1));
        policy.rules = vec![
            Rule::new(["execve"], Action::Allow),
            Rule::new(["write"], Action::Notify),
            Rule::new(["exit_group"], Action::Log),
            Rule::new(["close"], ENOSYS),
            Rule::new(["read"], Action::Allow).when(0, Op::Eq, 5),
        ];
        let program = compile(&policy).unwrap().program;
        let none = [0; 6];
        let ask = |needed: &[(&str, [u64; 6])]| may_finish_init(&program, needed);
        assert_eq!(ask(&[("execve", none), ("exit_group", none), ("read", [5, 0, 0, 0, 0, 0])]), Ok(()));
        let refused = ask(&[("write", none), ("close", none), ("read", none), ("mmap", none), ("nope", none)]);
        let lines = ["write: notify", "close: errno ENOSYS", "read: errno EPERM", "mmap: errno EPERM", "nope: unknown"];
        assert_eq!(refused, Err(lines.map(str::to_owned).to_vec()));
    }
}
