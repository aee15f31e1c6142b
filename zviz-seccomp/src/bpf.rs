//! The operation codes of classic BPF that seccomp takes. `<linux/bpf_common.h>`, net/core/filter.c and
//! `seccomp_check_filter` in kernel/seccomp.c.

/// Load a word of `seccomp_data` at a constant offset into A.
pub const LD_ABS: u16 = 0x20;
/// Load the size of `seccomp_data`.
pub const LD_LEN: u16 = 0x80;
pub const LDX_LEN: u16 = 0x81;
pub const LD_IMM: u16 = 0x00;
pub const LDX_IMM: u16 = 0x01;
pub const LD_MEM: u16 = 0x60;
pub const LDX_MEM: u16 = 0x61;
pub const ST: u16 = 0x02;
pub const STX: u16 = 0x03;
pub const TAX: u16 = 0x07;
pub const TXA: u16 = 0x87;
pub const RET_K: u16 = 0x06;
pub const RET_A: u16 = 0x16;
pub const JA: u16 = 0x05;
pub const JEQ: u16 = 0x10;
pub const JGT: u16 = 0x20;
pub const JGE: u16 = 0x30;
pub const JSET: u16 = 0x40;
pub const ADD: u16 = 0x00;
pub const SUB: u16 = 0x10;
pub const MUL: u16 = 0x20;
pub const DIV: u16 = 0x30;
pub const OR: u16 = 0x40;
pub const AND: u16 = 0x50;
pub const LSH: u16 = 0x60;
pub const RSH: u16 = 0x70;
pub const XOR: u16 = 0xa0;
pub const NEG: u16 = 0x84;

/// Classes and the operand bit of jumps and arithmetic: a code is class | operation | operand.
pub const CLASS: u16 = 0x07;
pub const CLASS_ALU: u16 = 0x04;
pub const CLASS_JMP: u16 = 0x05;
pub const OPERAND_X: u16 = 0x08;
pub const OPERATION: u16 = 0xf0;

/// Compare A with a constant.
pub const fn jump(operation: u16) -> u16 {
    CLASS_JMP | operation
}

/// Arithmetic of A with a constant.
pub const fn alu(operation: u16) -> u16 {
    CLASS_ALU | operation
}

/// Words of memory that a program has.
pub const MEMORY_WORDS: usize = 16;
/// `sizeof(struct seccomp_data)`.
pub const DATA_SIZE: u32 = 64;
/// Offsets in `struct seccomp_data`.
pub const OFFSET_NR: u32 = 0;
pub const OFFSET_ARCH: u32 = 4;
pub const OFFSET_IP: u32 = 8;
pub const OFFSET_ARGS: u32 = 16;
