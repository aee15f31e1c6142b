//! What is refused beside the default policy where no namespace is around a program: the host's processes of the same user,
//! its System V objects and the owners of its files are then as near as the program's own.
//!
//! It is laid over everything else, a profile's own list included: what is refused here is no matter of taste.

use crate::arguments::refuse_set_id;
use crate::choice::whole;
use crate::default::INT;
use crate::variant::take;
use crate::{Action, CATEGORIES, EPERM, Fallback, Op, Policy, Rule};

/// Attributes, access lists among them: to programs, a file system that has none.
const ATTRIBUTES: &[&str] = &[
    "fremovexattr",
    "fsetxattr",
    "lremovexattr",
    "lsetxattr",
    "removexattr",
    "removexattrat",
    "setxattr",
    "setxattrat",
];

/// FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS and FS_IOC_FSSETXATTR, linux/fs.h: attributes as well. A descriptor that was opened to be read
/// is enough for them, and Landlock judges calls of devices alone.
const ATTRIBUTE_CALLS: &[u64] = &[0x4008_6602, 0x4004_6602, 0x401c_5820];

/// EOPNOTSUPP, as such file systems say.
const UNSUPPORTED: Action = Action::Errno(libc::EOPNOTSUPP as u16);

/// Lays it over a policy.
pub(crate) fn apply(policy: &mut Policy) {
    let objects = CATEGORIES.iter().filter(|group| group.name == "@ipc").flat_map(|group| group.calls);
    // Attributes of a file are changed by a pointer to a structure there, and its flags with them.
    refuse(policy, objects.chain(&["file_setattr"]), EPERM);
    refuse(policy, ATTRIBUTES, UNSUPPORTED);
    let attributes = ATTRIBUTE_CALLS.iter().map(|command| Rule::new(["ioctl"], UNSUPPORTED).when(1, INT, *command));
    refuse_some(policy, "ioctl", attributes.collect());
    refuse_set_id(policy);
    // prlimit(2) asks for no more than the same user ids: the limits of any other process could be taken away.
    refuse_some(policy, "prlimit64", vec![Rule::new(["prlimit64"], EPERM).when(0, Op::Ne, 0)]);
    // PRIO_USER and IOPRIO_WHO_USER: every process of the user.
    refuse_some(policy, "setpriority", vec![Rule::new(["setpriority"], EPERM).when(0, INT, 2)]);
    refuse_some(policy, "ioprio_set", vec![Rule::new(["ioprio_set"], EPERM).when(0, INT, 3)]);
}

fn refuse<'n>(policy: &mut Policy, names: impl IntoIterator<Item = &'n &'n str>, answer: Action) {
    for name in names {
        if whole(policy, name) == Some(Action::Allow) {
            take(policy, name);
            policy.rules.push(Rule::new([*name], answer));
        }
    }
}

/// Adds refusals to what is said of a call. What it says already is kept: of rules whose conditions hold, the strictest counts.
fn refuse_some(policy: &mut Policy, name: &str, rules: Vec<Rule>) {
    match whole(policy, name) {
        Some(Action::Allow) => {
            take(policy, name);
            policy.fallbacks.push(Fallback { names: vec![name.to_owned()], action: Action::Allow });
            policy.rules.extend(rules);
        }
        None => policy.rules.extend(rules),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Choice, ENOSYS, Variant, number_of, policy_with};

    fn answers(choice: Choice) -> impl Fn(&str, &[u64]) -> Action {
        let policy = policy_with(&Variant { in_place: true, choice, ..Variant::default() }).unwrap();
        let program = crate::compile(&policy).unwrap().program;
        move |name, args| {
            let mut all = [0; 6];
            all[..args.len()].copy_from_slice(args);
            let number = number_of(name, Arch::native()).unwrap();
            let decided = policy.decide(Arch::native(), number, &all);
            assert_eq!(program.eval(&crate::SeccompData::new(Arch::native(), number, all)), decided, "{name}");
            decided
        }
    }

    #[test]
    fn files_are_as_those_of_a_plain_file_system() {
        let get = answers(Choice::default());
        assert_eq!([get("fchmod", &[3, 0o755]), get("fchmod", &[3, 0o4755])], [Action::Allow, EPERM]);
        assert_eq!(get("mknodat", &[3, 0, 0o020644, 0x103]), EPERM, "a device is still refused");
        assert_eq!([get("openat2", &[]), get("setxattr", &[])], [ENOSYS, UNSUPPORTED]);
        assert_eq!(
            [0x4008_6602, 0x4004_6602, 1 << 32 | 0x401c_5820].map(|call| get("ioctl", &[3, call])),
            [UNSUPPORTED; 3]
        );
        // FS_IOC_GETFLAGS, FIONREAD.
        assert_eq!([0x8008_6601, 0x541b].map(|call| get("ioctl", &[3, call])), [Action::Allow; 2]);
    }

    #[test]
    fn other_processes_are_left_alone() {
        let allow = ["shmget", "prlimit64"].map(str::to_owned).to_vec();
        for choice in [Choice::default(), Choice { allow, ..Choice::default() }] {
            let get = answers(choice);
            assert_eq!([get("shmget", &[]), get("mq_open", &[]), get("semop", &[])], [EPERM; 3]);
            assert_eq!(get("prlimit64", &[0, 7]), Action::Allow);
            assert_eq!([get("prlimit64", &[1, 7]), get("setpriority", &[2, 0])], [EPERM; 2]);
            assert_eq!(get("setpriority", &[0, 17]), Action::Allow);
            assert_eq!([get("ioprio_set", &[3, 0]), get("ioprio_set", &[1, 17])], [EPERM, Action::Allow]);
        }
    }

    #[test]
    fn nothing_is_brought_back() {
        let choice =
            Choice { listed_only: true, allow: vec!["read".into()], deny: vec!["openat".into()], ..Choice::default() };
        let get = answers(choice);
        for name in ["shmget", "openat", "prlimit64", "fchmod"] {
            assert_eq!(get(name, &[]), EPERM, "{name}");
        }
    }
}
