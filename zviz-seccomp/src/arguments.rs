//! What a profile refuses of calls by their arguments: bits of a mode, programs in memory.

use crate::choice::whole;
use crate::variant::take;
use crate::{Action, ENOSYS, EPERM, Fallback, Op, Policy, Rule};

/// Calls that give a file a mode, and which argument that is.
const MODES: &[(&str, u8)] =
    &[("chmod", 1), ("creat", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("mknod", 1), ("mknodat", 2)];

/// Calls that do so where they make a file: which arguments their flags and their mode are. mkdir(2) takes no such bits.
const OPENS: &[(&str, u8, u8)] = &[("open", 1, 2), ("openat", 2, 3)];

/// Of open(2): O_CREAT, and O_TMPFILE without O_DIRECTORY.
const MAKES: &[u64] = &[libc::O_CREAT as u64, (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64];

/// S_ISUID and S_ISGID.
const SET_ID: &[u64] = &[libc::S_ISUID as u64, libc::S_ISGID as u64];

/// Of memfd_create(2), linux/memfd.h: nobody can execute it, and nobody can change that.
const MFD_NOEXEC_SEAL: u64 = 0x8;
/// As the kernel itself answers where `vm.memfd_noexec` is 2.
const EACCES: Action = Action::Errno(libc::EACCES as u16);

/// No file gets a set-user-ID or a set-group-ID bit.
pub(crate) fn refuse_set_id(policy: &mut Policy) {
    for (name, mode) in MODES {
        refuse(policy, name, SET_ID.iter().map(|bit| Rule::new([*name], EPERM).when(*mode, Op::MaskedEq(*bit), *bit)));
    }
    for (name, flags, mode) in OPENS {
        let makes = |flag: &u64| Rule::new([*name], EPERM).when(*flags, Op::MaskedEq(*flag), *flag);
        let rules = MAKES.iter().flat_map(|flag| SET_ID.iter().map(move |bit| (makes(flag), *bit)));
        refuse(policy, name, rules.map(|(rule, bit)| rule.when(*mode, Op::MaskedEq(bit), bit)));
    }
    // Its mode lies in memory. Programs know kernels without it.
    if matches!(whole(policy, "openat2"), Some(Action::Allow | Action::Notify)) {
        take(policy, "openat2");
        policy.rules.push(Rule::new(["openat2"], ENOSYS));
    }
}

/// No file that is in no folder is executed.
pub(crate) fn refuse_programs_in_memory(policy: &mut Policy) {
    // Unless it says so itself, whoever made it may execute it: what no kernel before 6.3 knows how to say is refused there.
    if whole(policy, "memfd_create") == Some(Action::Allow) {
        take(policy, "memfd_create");
        let sealed = Rule::new(["memfd_create"], Action::Allow);
        policy.rules.push(sealed.when(1, Op::MaskedEq(MFD_NOEXEC_SEAL), MFD_NOEXEC_SEAL));
        policy.fallbacks.push(Fallback { names: vec!["memfd_create".to_owned()], action: EACCES });
    }
}

/// Refuses some calls of a name, and leaves what is said of the others.
fn refuse(policy: &mut Policy, name: &str, rules: impl Iterator<Item = Rule>) {
    match whole(policy, name) {
        Some(answer @ (Action::Allow | Action::Notify)) => {
            take(policy, name);
            policy.rules.extend(rules);
            policy.fallbacks.push(Fallback { names: vec![name.to_owned()], action: answer });
        }
        // Of those that hold, the strictest does.
        None => policy.rules.extend(rules),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Choice, SeccompData, Variant, number_of, policy_with};

    fn answers(choice: Choice, notify: &[&str]) -> impl Fn(&str, [u64; 4]) -> Action {
        let notify = notify.iter().map(|name| (*name).to_owned()).collect();
        let variant = Variant { notify, reads_unasked: true, nodes_asked: true, choice, ..Variant::default() };
        let policy = policy_with(&variant).unwrap();
        let program = crate::compile(&policy).unwrap().program;
        move |name, [a, b, c, d]| {
            let (number, args) = (number_of(name, Arch::X86_64).unwrap(), [a, b, c, d, 0, 0]);
            let decided = policy.decide(Arch::X86_64, number, &args);
            assert_eq!(program.eval(&SeccompData::new(Arch::X86_64, number, args)), decided, "{name} {args:x?}");
            decided
        }
    }

    #[test]
    fn no_mode_has_the_bits_whoever_answers() {
        if Arch::native() != Arch::X86_64 {
            return;
        }
        const CREATES: u64 = (libc::O_CREAT | libc::O_WRONLY) as u64;
        const NAMELESS: u64 = (libc::O_TMPFILE | libc::O_RDWR) as u64;
        let all =
            ["chmod", "creat", "fchmod", "fchmodat", "fchmodat2", "mknod", "mknodat", "open", "openat", "openat2"];
        for (notify, free) in [(&[][..], Action::Allow), (&all[..], Action::Notify)] {
            let none = answers(Choice { no_set_id: true, ..Choice::default() }, notify);
            let any = answers(Choice::default(), notify);
            for bits in [0o4755, 0o2755, 0o6000, 0o104_644 | 1 << 40] {
                for (name, args) in [
                    ("chmod", [0, bits, 0, 0]),
                    ("creat", [0, bits, 0, 0]),
                    ("fchmod", [3, bits, 0, 0]),
                    ("fchmodat", [3, 0, bits, 0]),
                    ("fchmodat2", [3, 0, bits, 0]),
                    ("mknod", [0, bits & 0o7777 | 0o100_000, 0, 0]),
                    ("mknodat", [3, 0, bits & 0o7777, 0]),
                    ("open", [0, CREATES, bits, 0]),
                    ("open", [0, NAMELESS, bits, 0]),
                    ("openat", [3, 0, CREATES, bits]),
                    ("openat", [3, 0, NAMELESS, bits]),
                ] {
                    assert_eq!(none(name, args), EPERM, "{name} {args:x?}");
                    assert_eq!(any(name, args), free, "{name} {args:x?}: the control");
                    // Another mode, and a register that is no mode.
                    let plain = args.map(|arg| if arg == bits || arg & !0o107_777 == 0 { arg & !0o6000 } else { arg });
                    assert_eq!(none(name, plain), free, "{name} {plain:x?}");
                }
            }
            assert_eq!(none("openat", [3, 0, 0, 0o4755]), Action::Allow, "nothing is made");
            assert_eq!([none("openat2", [0; 4]), any("openat2", [0; 4])], [ENOSYS, free]);
            assert_eq!(none("mkdir", [0, 0o2755, 0, 0]), Action::Allow);
        }
        let denied = Choice { no_set_id: true, deny: vec!["chmod".into()], ..Choice::default() };
        assert_eq!(answers(denied, &[])("chmod", [0, 0o600, 0, 0]), EPERM);
    }

    #[test]
    fn memory_is_no_program() {
        if Arch::native() != Arch::X86_64 {
            return;
        }
        let none = answers(Choice { files_only: true, ..Choice::default() }, &[]);
        let any = answers(Choice::default(), &[]);
        for (flags, answer) in [(0, EACCES), (1, EACCES), (0x10, EACCES), (8, Action::Allow), (0xb, Action::Allow)] {
            assert_eq!(none("memfd_create", [0, flags, 0, 0]), answer, "{flags:x}");
            assert_eq!(any("memfd_create", [0, flags, 0, 0]), Action::Allow, "{flags:x}: the control");
        }
        let denied = Choice { files_only: true, deny: vec!["memfd_create".into()], ..Choice::default() };
        assert_eq!(answers(denied, &[])("memfd_create", [0, 8, 0, 0]), EPERM);
    }
}
