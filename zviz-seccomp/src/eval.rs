//! An interpreter of the BPF that seccomp takes, to answer what a filter would without loading it.

use crate::bpf::*;
use crate::{Action, Program, SockFilter};

/// What a filter sees of a call: `struct seccomp_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeccompData {
    /// The number.
    pub nr: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The argument registers.
    pub args: [u64; 6],
}

impl SeccompData {
    /// A call by its architecture and number.
    pub fn new(arch: crate::Arch, nr: u32, args: [u64; 6]) -> SeccompData {
        SeccompData { nr, arch: arch.audit(), instruction_pointer: 0, args }
    }

    /// The word at an offset, in the byte order of the architecture that makes the call.
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64, second: bool| {
            let little = self.arch & crate::arch::AUDIT_LE != 0;
            if second == little { (value >> 32) as u32 } else { value as u32 }
        };
        match offset {
            OFFSET_NR => self.nr,
            OFFSET_ARCH => self.arch,
            OFFSET_IP..OFFSET_ARGS => half(self.instruction_pointer, offset > OFFSET_IP),
            _ => {
                let arg = self.args.get(((offset - OFFSET_ARGS) / 8) as usize).copied().unwrap_or_default();
                half(arg, offset % 8 == 4)
            }
        }
    }
}

impl Program {
    /// The answer to a call, as the kernel would give it.
    pub fn eval(&self, data: &SeccompData) -> Action {
        Action::from_raw(run(self.instructions(), data))
    }
}

/// Runs a checked program: jumps go forward and stay inside, the last instruction returns.
fn run(instructions: &[SockFilter], data: &SeccompData) -> u32 {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY_WORDS]);
    let mut at = 0;
    while let Some(SockFilter { code, jt, jf, k }) = instructions.get(at).copied() {
        at += 1;
        let word = k as usize % MEMORY_WORDS;
        match code {
            LD_ABS => a = data.word(k),
            LD_LEN => a = DATA_SIZE,
            LDX_LEN => x = DATA_SIZE,
            LD_IMM => a = k,
            LDX_IMM => x = k,
            LD_MEM => a = memory[word],
            LDX_MEM => x = memory[word],
            ST => memory[word] = a,
            STX => memory[word] = x,
            TAX => x = a,
            TXA => a = x,
            NEG => a = a.wrapping_neg(),
            RET_K => return k,
            RET_A => return a,
            JA => at += k as usize,
            _ => {
                let operand = if code & OPERAND_X != 0 { x } else { k };
                if code & CLASS == CLASS_JMP {
                    let holds = match code & OPERATION {
                        JEQ => a == operand,
                        JGT => a > operand,
                        JGE => a >= operand,
                        _ => a & operand != 0,
                    };
                    at += usize::from(if holds { jt } else { jf });
                    continue;
                }
                a = match code & OPERATION {
                    ADD => a.wrapping_add(operand),
                    SUB => a.wrapping_sub(operand),
                    MUL => a.wrapping_mul(operand),
                    // The kernel ends a program that divides by zero with the value 0, which kills.
                    DIV => match a.checked_div(operand) {
                        Some(quotient) => quotient,
                        None => return 0,
                    },
                    OR => a | operand,
                    AND => a & operand,
                    // eBPF, which the kernel translates to, takes a shift's count modulo 32.
                    LSH => a.wrapping_shl(operand),
                    RSH => a.wrapping_shr(operand),
                    _ => a ^ operand,
                };
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    fn answer(instructions: Vec<SockFilter>, data: &SeccompData) -> u32 {
        crate::check::check(&instructions).unwrap();
        run(&instructions, data)
    }

    #[test]
    fn words_follow_the_byte_order_of_the_caller() {
        let args = [0x1111_2222_3333_4444, 0, 0, 0, 0, 0xaaaa_bbbb_cccc_dddd];
        let little = SeccompData::new(Arch::X86_64, 7, args);
        assert_eq!((little.word(0), little.word(4)), (7, 0xc000_003e));
        assert_eq!((little.word(16), little.word(20)), (0x3333_4444, 0x1111_2222));
        assert_eq!((little.word(56), little.word(60)), (0xcccc_dddd, 0xaaaa_bbbb));
        let big = SeccompData::new(Arch::S390x, 7, args);
        assert_eq!((big.word(16), big.word(20)), (0x1111_2222, 0x3333_4444));
    }

    #[test]
    fn arithmetic_is_the_kernels() {
        let data = SeccompData::default();
        let calc = |code: u16, a: u32, x: u32| {
            let program = [(LD_IMM, a), (LDX_IMM, x), (code, 5), (RET_A, 0)];
            answer(program.map(|(code, k)| SockFilter::new(code, 0, 0, k)).to_vec(), &data)
        };
        assert_eq!(calc(alu(ADD), u32::MAX, 0), 4);
        assert_eq!(calc(alu(SUB), 0, 0), u32::MAX - 4);
        assert_eq!(calc(alu(DIV), 17, 0), 3);
        assert_eq!(calc(alu(DIV) | OPERAND_X, 17, 0), 0);
        assert_eq!(calc(alu(LSH) | OPERAND_X, 1, 33), 2);
        assert_eq!(calc(alu(XOR), 6, 0), 3);
        assert_eq!(calc(NEG, 1, 0), u32::MAX);
        assert_eq!(calc(LD_LEN, 0, 0), 64);
        assert_eq!(calc(TXA, 0, 9), 9);
    }
}
