//! The architectures a filter can name: OCI names, the kernel's audit values, word size and byte order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An architecture, or an ABI of one (x32 is a second numbering on x86-64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are their own explanation")]
pub enum Arch {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Ppc,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390,
    S390x,
    Loongarch64,
    M68k,
    Parisc,
    Parisc64,
    Sh,
    Sheb,
}

/// What sets x32's numbers apart from x86-64's, `__X32_SYSCALL_BIT` of `<asm/unistd.h>`.
pub const X32_BIT: u32 = 0x4000_0000;

/// `__AUDIT_ARCH_LE` of `<linux/audit.h>`.
pub(crate) const AUDIT_LE: u32 = 0x4000_0000;
const AUDIT_64: u32 = 0x8000_0000;
const AUDIT_N32: u32 = 0x2000_0000;

/// Arch, name after `SCMP_ARCH_`, value of `AUDIT_ARCH_*`: the ELF machine number with the flags above.
const TABLE: &[(Arch, &str, u32)] = &[
    (Arch::X86, "X86", 3 | AUDIT_LE),
    (Arch::X86_64, "X86_64", 62 | AUDIT_64 | AUDIT_LE),
    (Arch::X32, "X32", 62 | AUDIT_64 | AUDIT_LE),
    (Arch::Arm, "ARM", 40 | AUDIT_LE),
    (Arch::Aarch64, "AARCH64", 183 | AUDIT_64 | AUDIT_LE),
    (Arch::Mips, "MIPS", 8),
    (Arch::Mips64, "MIPS64", 8 | AUDIT_64),
    (Arch::Mips64n32, "MIPS64N32", 8 | AUDIT_64 | AUDIT_N32),
    (Arch::Mipsel, "MIPSEL", 8 | AUDIT_LE),
    (Arch::Mipsel64, "MIPSEL64", 8 | AUDIT_64 | AUDIT_LE),
    (Arch::Mipsel64n32, "MIPSEL64N32", 8 | AUDIT_64 | AUDIT_LE | AUDIT_N32),
    (Arch::Ppc, "PPC", 20),
    (Arch::Ppc64, "PPC64", 21 | AUDIT_64),
    (Arch::Ppc64le, "PPC64LE", 21 | AUDIT_64 | AUDIT_LE),
    (Arch::Riscv64, "RISCV64", 243 | AUDIT_64 | AUDIT_LE),
    (Arch::S390, "S390", 22),
    (Arch::S390x, "S390X", 22 | AUDIT_64),
    (Arch::Loongarch64, "LOONGARCH64", 258 | AUDIT_64 | AUDIT_LE),
    (Arch::M68k, "M68K", 4),
    (Arch::Parisc, "PARISC", 15),
    (Arch::Parisc64, "PARISC64", 15 | AUDIT_64),
    (Arch::Sh, "SH", 42 | AUDIT_LE),
    (Arch::Sheb, "SHEB", 42),
];

impl Arch {
    /// The architecture this was built for.
    pub const fn native() -> Arch {
        #[cfg(target_arch = "x86_64")]
        return Arch::X86_64;
        #[cfg(target_arch = "aarch64")]
        return Arch::Aarch64;
        #[cfg(target_arch = "riscv64")]
        return Arch::Riscv64;
    }

    /// Every architecture.
    pub fn all() -> impl Iterator<Item = Arch> {
        TABLE.iter().map(|(arch, _, _)| *arch)
    }

    fn row(self) -> &'static (Arch, &'static str, u32) {
        // The enum and the table are in one order; a test holds them together.
        &TABLE[self as usize]
    }

    /// `AUDIT_ARCH_*`, what `seccomp_data.arch` holds. x32 shares x86-64's.
    pub fn audit(self) -> u32 {
        self.row().2
    }

    /// Whether only the low words of arguments are compared. x32 and mips n32 run in 64-bit registers, but what is in
    /// the upper half of one that holds an int or a pointer is not theirs to say; libseccomp draws the line here too.
    pub fn is_32bit(self) -> bool {
        matches!(self, Arch::X32 | Arch::Mips64n32 | Arch::Mipsel64n32) || self.audit() & AUDIT_64 == 0
    }

    pub(crate) fn is_little_endian(self) -> bool {
        self.audit() & AUDIT_LE != 0
    }

    /// The OCI name, `SCMP_ARCH_…`.
    pub fn oci_name(self) -> String {
        format!("SCMP_ARCH_{}", self.row().1)
    }
}

/// A name that is no architecture of the OCI specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {0:?}")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Arch, UnknownArch> {
        let short = name.strip_prefix("SCMP_ARCH_");
        let row = TABLE.iter().find(|(_, known, _)| short == Some(known));
        row.map(|(arch, _, _)| *arch).ok_or_else(|| UnknownArch(name.to_owned()))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row().1.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, (arch, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*arch as usize, index);
            assert_eq!(format!("SCMP_ARCH_{name}").parse(), Ok(*arch));
            assert_eq!(arch.oci_name(), format!("SCMP_ARCH_{name}"));
        }
        assert!("X86_64".parse::<Arch>().is_err());
        assert!("SCMP_ARCH_".parse::<Arch>().is_err());
    }

    #[test]
    fn audit_values_are_the_kernels() {
        assert_eq!(Arch::X86_64.audit(), 0xc000_003e);
        assert_eq!(Arch::X32.audit(), 0xc000_003e);
        assert_eq!(Arch::X86.audit(), 0x4000_0003);
        assert_eq!(Arch::Aarch64.audit(), 0xc000_00b7);
        assert_eq!(Arch::S390x.audit(), 0x8000_0016);
        assert!(Arch::Arm.is_32bit() && Arch::X32.is_32bit() && Arch::Mips64n32.is_32bit());
        assert!(!Arch::X86_64.is_32bit() && !Arch::S390x.is_32bit());
    }
}
