//! Conditions on the arguments of a call.

use serde::{Deserialize, Serialize};

use crate::Arch;

/// A condition on one argument register. On 32-bit architectures only the low words are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compare {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// How.
    pub op: Op,
    /// With what. Unsigned.
    pub value: u64,
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are their own explanation")]
pub enum Op {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// Equal in the bits of this mask.
    MaskedEq(u64),
}

impl Op {
    /// The operator of an OCI name; the mask is the spec's `value`, and `valueTwo` what is compared with it.
    pub fn from_oci(name: &str, mask: u64) -> Option<Op> {
        match OPERATORS.iter().find(|(known, _)| *known == name)?.1 {
            Op::MaskedEq(_) => Some(Op::MaskedEq(mask)),
            op => Some(op),
        }
    }

    /// Every OCI name, for `features`.
    pub fn oci_names() -> impl Iterator<Item = &'static str> {
        OPERATORS.iter().map(|(name, _)| *name)
    }
}

/// The mask is that of the rule.
const OPERATORS: &[(&str, Op)] = &[
    ("SCMP_CMP_NE", Op::Ne),
    ("SCMP_CMP_LT", Op::Lt),
    ("SCMP_CMP_LE", Op::Le),
    ("SCMP_CMP_EQ", Op::Eq),
    ("SCMP_CMP_GE", Op::Ge),
    ("SCMP_CMP_GT", Op::Gt),
    ("SCMP_CMP_MASKED_EQ", Op::MaskedEq(0)),
];

impl Compare {
    /// The condition of an OCI `args` entry. `None` for an unknown operator.
    pub fn from_oci(index: u8, op: &str, value: u64, value_two: u64) -> Option<Compare> {
        let op = Op::from_oci(op, value)?;
        let value = if matches!(op, Op::MaskedEq(_)) { value_two } else { value };
        Some(Compare { index, op, value })
    }

    /// Whether the condition holds for these arguments.
    pub fn holds(&self, arch: Arch, args: &[u64; 6]) -> bool {
        let narrow = |word: u64| if arch.is_32bit() { word & u64::from(u32::MAX) } else { word };
        let (Some(arg), value) = (args.get(usize::from(self.index)).copied().map(narrow), narrow(self.value)) else {
            return false;
        };
        match self.op {
            Op::Ne => arg != value,
            Op::Lt => arg < value,
            Op::Le => arg <= value,
            Op::Eq => arg == value,
            Op::Ge => arg >= value,
            Op::Gt => arg > value,
            Op::MaskedEq(mask) => arg & narrow(mask) == value & mask,
        }
    }
}
