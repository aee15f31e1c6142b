//! Names and numbers of system calls: libseccomp's table, and the calls that are newer than the oldest libseccomp in use.

use crate::Arch;
use crate::arch::X32_BIT;
use crate::library::{self, Lookup};

/// Calls that libseccomp 2.5.4 (April 2022, Linux 5.17; Debian's knows those of 6.6) cannot name. Since 5.1 a new call gets one number on every
/// architecture, counted from [`base`]. scripts/syscall.tbl of Linux 6.18, and arch/x86/entry/syscalls.
const NEWER: &[(&str, u32)] = &[
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
    ("rseq_slice_yield", 471),
];

/// Newer calls of one architecture.
const NEWER_OF_ONE: &[(&str, Arch, u32)] =
    &[("uretprobe", Arch::X86_64, 335), ("uprobe", Arch::X86_64, 336), ("riscv_hwprobe", Arch::Riscv64, 258)];

/// What number zero is on an architecture.
pub(crate) const fn base(arch: Arch) -> u32 {
    match arch {
        Arch::Mips | Arch::Mipsel => 4000,
        Arch::Mips64 | Arch::Mipsel64 => 5000,
        Arch::Mips64n32 | Arch::Mipsel64n32 => 6000,
        Arch::X32 => X32_BIT,
        _ => 0,
    }
}

/// How a name is called on an architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resolved {
    /// By this number.
    pub direct: Option<u32>,
    /// Through `socketcall` or `ipc`: its number, and the operation in the first argument.
    pub through: Option<(u32, u32)>,
}

impl Resolved {
    /// The highest number under which the call can be made.
    pub(crate) fn highest(&self) -> Option<u32> {
        self.direct.max(self.through.map(|(number, _)| number))
    }
}

/// Resolves a name; `None` when no architecture has a call of that name.
pub(crate) fn resolve(name: &str, arch: Arch) -> Option<Resolved> {
    match library::lookup(name, arch) {
        Lookup::Number(number) => Some(Resolved { direct: Some(number), through: None }),
        Lookup::Multiplexed { through, operation, direct } => {
            Some(Resolved { direct, through: Some((through, operation)) })
        }
        Lookup::Absent => Some(Resolved { direct: None, through: None }),
        Lookup::Unknown => {
            let of_all = NEWER.iter().find(|(known, _)| *known == name).map(|(_, number)| base(arch) + number);
            let of_one = NEWER_OF_ONE.iter().find(|(known, _, _)| *known == name);
            if of_all.is_none() && of_one.is_none() {
                return None;
            }
            let of_one = of_one.filter(|(_, owner, _)| *owner == arch).map(|(_, _, number)| *number);
            Some(Resolved { direct: of_all.or(of_one), through: None })
        }
    }
}

/// The number of a system call. `None` where the architecture has none, or only through `socketcall` and `ipc`.
pub fn number_of(name: &str, arch: Arch) -> Option<u32> {
    resolve(name, arch)?.direct
}

/// The name of a system call's number.
pub fn name_of(number: u32, arch: Arch) -> Option<String> {
    // libseccomp answers for x32 with and without the bit.
    if arch == Arch::X32 && number & X32_BIT == 0 {
        return None;
    }
    library::name_of(number, arch).or_else(|| {
        let of_all = NEWER.iter().find(|(_, newer)| Some(*newer) == number.checked_sub(base(arch)));
        let of_one = NEWER_OF_ONE.iter().find(|(_, owner, newer)| *owner == arch && *newer == number);
        let name = of_all.map(|(name, _)| *name).or(of_one.map(|(name, _, _)| *name))?;
        // A libseccomp that knows the name has the last word.
        (number_of(name, arch) == Some(number)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_calls_count_from_the_base() {
        assert_eq!(number_of("mseal", Arch::X86_64), Some(462));
        assert_eq!(number_of("mseal", Arch::Aarch64), Some(462));
        assert_eq!(number_of("mseal", Arch::X32), Some(X32_BIT + 462));
        assert_eq!(number_of("mseal", Arch::Mipsel64), Some(5462));
        assert_eq!(number_of("uretprobe", Arch::X86_64), Some(335));
        assert_eq!(number_of("uretprobe", Arch::Aarch64), None);
        assert_eq!(resolve("no_such_call", Arch::X86_64), None);
    }

    #[test]
    fn names_and_numbers_agree_both_ways() {
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::X32] {
            let mut seen = 0;
            for number in base(arch)..base(arch) + 600 {
                let Some(name) = name_of(number, arch) else { continue };
                assert_eq!(number_of(&name, arch), Some(number), "{name} on {arch}");
                seen += 1;
            }
            assert!(seen > 300, "{seen} calls of {arch}");
        }
        assert_eq!(name_of(0, Arch::X32), None);
        assert_eq!(name_of(467, Arch::Aarch64).as_deref(), Some("open_tree_attr"));
    }
}
