//! The one module that knows libseccomp: names and numbers of system calls.
//!
//! Programs are written by `dispatch.rs` and `conditions.rs`. libseccomp's own compiler takes one comparison for an
//! argument, refuses or reorders rules that overlap, lets a rule on `socket` through `socketcall` unchecked, has got
//! 64-bit comparisons wrong before (CVE-2019-9893), and gives every call two instructions, which the kernel translates
//! anew at each start: for the default policy four times as many. `tests/against_libseccomp.rs` compares the answers.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use libseccomp::{ScmpArch, ScmpSyscall, ScmpVersion};

use crate::Arch;

/// What libseccomp says of a name on one architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// It has a number.
    Number(u32),
    /// It is reached through `socketcall` or `ipc` (first number) as this operation, and perhaps by a number of its own.
    Multiplexed { through: u32, operation: u32, direct: Option<u32> },
    /// It exists elsewhere.
    Absent,
    /// No architecture that this libseccomp knows has it.
    Unknown,
}

/// Looks a name up.
pub fn lookup(name: &str, arch: Arch) -> Lookup {
    let Ok(found) = ScmpSyscall::from_name_by_arch(name, scmp_arch(arch)) else { return Lookup::Unknown };
    let raw = found.as_raw_syscall();
    if let Ok(number) = u32::try_from(raw) {
        return Lookup::Number(number);
    }
    // libseccomp writes operation 1..99 of socketcall as -100 - n and of ipc as -200 - n.
    let operation = match raw {
        -199..=-101 => -raw - 100,
        -299..=-201 => -raw - 200,
        _ => return Lookup::Absent,
    };
    let through = ScmpSyscall::from_name_by_arch_rewrite(name, scmp_arch(arch)).map(ScmpSyscall::as_raw_syscall);
    match through.ok().and_then(|number| u32::try_from(number).ok()) {
        Some(through) => {
            Lookup::Multiplexed { through, operation: operation.unsigned_abs(), direct: direct_number(name, arch) }
        }
        None => Lookup::Absent,
    }
}

/// The name of a number.
pub fn name_of(number: u32, arch: Arch) -> Option<String> {
    ScmpSyscall::from_raw_syscall(i32::try_from(number).ok()?).get_name_by_arch(scmp_arch(arch)).ok()
}

/// The number of a call that also has a place in a multiplexer: libseccomp gives it only in the other direction.
fn direct_number(name: &str, arch: Arch) -> Option<u32> {
    type Numbers = HashMap<Arch, HashMap<String, u32>>;
    static NUMBERS: LazyLock<Mutex<Numbers>> = LazyLock::new(Mutex::default);
    // The map is complete or absent for an architecture, also after a panic elsewhere.
    let mut numbers = NUMBERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let of_arch = numbers.entry(arch).or_insert_with(|| {
        let base = crate::syscalls::base(arch);
        (base..base + 512).filter_map(|number| Some((name_of(number, arch)?, number))).collect()
    });
    of_arch.get(name).copied()
}

/// The version of the library, as text.
pub fn version() -> String {
    match ScmpVersion::current() {
        Ok(version) => format!("{}.{}.{}", version.major, version.minor, version.micro),
        Err(_) => "unknown".to_owned(),
    }
}

fn scmp_arch(arch: Arch) -> ScmpArch {
    match arch {
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        Arch::Mips => ScmpArch::Mips,
        Arch::Mips64 => ScmpArch::Mips64,
        Arch::Mips64n32 => ScmpArch::Mips64N32,
        Arch::Mipsel => ScmpArch::Mipsel,
        Arch::Mipsel64 => ScmpArch::Mipsel64,
        Arch::Mipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::Ppc => ScmpArch::Ppc,
        Arch::Ppc64 => ScmpArch::Ppc64,
        Arch::Ppc64le => ScmpArch::Ppc64Le,
        Arch::Riscv64 => ScmpArch::Riscv64,
        Arch::S390 => ScmpArch::S390,
        Arch::S390x => ScmpArch::S390X,
        Arch::Loongarch64 => ScmpArch::Loongarch64,
        Arch::M68k => ScmpArch::M68k,
        Arch::Parisc => ScmpArch::Parisc,
        Arch::Parisc64 => ScmpArch::Parisc64,
        Arch::Sh => ScmpArch::Sh,
        Arch::Sheb => ScmpArch::Sheb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_by_architecture() {
        assert_eq!(lookup("openat", Arch::X86_64), Lookup::Number(257));
        assert_eq!(lookup("openat", Arch::Aarch64), Lookup::Number(56));
        assert_eq!(lookup("open", Arch::Aarch64), Lookup::Absent);
        assert_eq!(lookup("read", Arch::X32), Lookup::Number(0x4000_0000));
        assert_eq!(lookup("no_such_call", Arch::X86_64), Lookup::Unknown);
        assert_eq!(lookup("nul\0byte", Arch::X86_64), Lookup::Unknown);
        assert_eq!(name_of(59, Arch::X86_64).as_deref(), Some("execve"));
    }

    #[test]
    fn multiplexed_calls_have_both_ways() {
        let socket = Lookup::Multiplexed { through: 102, operation: 1, direct: Some(359) };
        assert_eq!(lookup("socket", Arch::X86), socket);
        let accept = Lookup::Multiplexed { through: 102, operation: 5, direct: None };
        assert_eq!(lookup("accept", Arch::X86), accept);
        let shmget = Lookup::Multiplexed { through: 117, operation: 23, direct: Some(395) };
        assert_eq!(lookup("shmget", Arch::X86), shmget);
    }
}
