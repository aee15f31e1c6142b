//! What the kernel checks before it takes a filter: `bpf_check_classic` and `check_load_and_stores` in net/core/filter.c,
//! `seccomp_check_filter` in kernel/seccomp.c.

use crate::bpf::*;
use crate::{Error, MAX_INSTRUCTIONS, SockFilter};

/// Refuses what the kernel would refuse, and so everything that the interpreter could stumble over.
pub fn check(instructions: &[SockFilter]) -> Result<(), Error> {
    match instructions.last() {
        _ if instructions.len() > MAX_INSTRUCTIONS => return Err(Error::TooLong(instructions.len())),
        None => return Err(Error::Empty),
        Some(last) if !matches!(last.code, RET_K | RET_A) => return Err(Error::NoReturn),
        Some(_) => {}
    }
    for (at, instruction) in instructions.iter().enumerate() {
        check_one(*instruction, instructions.len() - at - 1).map_err(|problem| Error::Instruction {
            at,
            code: instruction.code,
            problem,
        })?;
    }
    check_memory(instructions)
}

/// `after` is how many instructions follow.
fn check_one(instruction: SockFilter, after: usize) -> Result<(), &'static str> {
    let SockFilter { code, jt, jf, k } = instruction;
    match code {
        LD_ABS if !k.is_multiple_of(4) || k >= DATA_SIZE => Err("load outside of seccomp_data"),
        LD_ABS | LD_LEN | LDX_LEN | LD_IMM | LDX_IMM | TAX | TXA | RET_K | RET_A | NEG => Ok(()),
        LD_MEM | LDX_MEM | ST | STX if (k as usize) < MEMORY_WORDS => Ok(()),
        LD_MEM | LDX_MEM | ST | STX => Err("no such memory word"),
        JA if (k as usize) < after => Ok(()),
        JA => Err("jump past the end"),
        _ if code & CLASS == CLASS_JMP && code & !(CLASS | OPERATION | OPERAND_X) == 0 => {
            match code & OPERATION {
                JEQ | JGT | JGE | JSET => {}
                _ => return Err("unknown operation"),
            }
            if usize::from(jt.max(jf)) < after { Ok(()) } else { Err("jump past the end") }
        }
        _ if code & CLASS == CLASS_ALU && code & !(CLASS | OPERATION | OPERAND_X) == 0 => {
            match (code & OPERATION, code & OPERAND_X) {
                (DIV, 0) if k == 0 => Err("division by zero"),
                (LSH | RSH, 0) if k >= 32 => Err("shift by more than 31"),
                (ADD | SUB | MUL | DIV | OR | AND | LSH | RSH | XOR, _) => Ok(()),
                _ => Err("unknown operation"),
            }
        }
        _ => Err("unknown operation"),
    }
}

/// No memory word is read that may not have been written. Jumps go forward, so one pass sees every path.
fn check_memory(instructions: &[SockFilter]) -> Result<(), Error> {
    let mut written_at = vec![u16::MAX; instructions.len()];
    let mut written = 0u16;
    for (at, SockFilter { code, jt, jf, k }) in instructions.iter().copied().enumerate() {
        written &= written_at[at];
        let mut reaches = |skip: usize, written: u16| {
            if let Some(target) = written_at.get_mut(at + 1 + skip) {
                *target &= written;
            }
        };
        match code {
            ST | STX => written |= 1 << k,
            LD_MEM | LDX_MEM if written & (1 << k) == 0 => {
                return Err(Error::Instruction { at, code, problem: "memory word read before it is written" });
            }
            JA => {
                reaches(k as usize, written);
                written = u16::MAX;
            }
            _ if code & CLASS == CLASS_JMP => {
                reaches(usize::from(jt), written);
                reaches(usize::from(jf), written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: SockFilter = SockFilter::new(RET_K, 0, 0, 0x7fff_0000);

    fn refused(first: SockFilter) -> bool {
        check(&[first, ALLOW]).is_err()
    }

    #[test]
    fn takes_what_seccomp_takes_and_nothing_else() {
        let mut taken = Vec::new();
        for code in 0..=u16::MAX {
            if !refused(SockFilter::new(code, 0, 0, 0)) {
                taken.push(code);
            }
        }
        // 8 loads less the two of unwritten memory, 2 stores, 2 moves, 2 returns, 8 jumps less ja (its k of 0 stays
        // inside, so it is here), 18 arithmetic less division by the constant 0, and neg.
        assert_eq!(taken.len(), 5 + 2 + 2 + 2 + 9 + 17 + 1);
        assert!(!taken.contains(&0x28), "half word load");
        assert!(!taken.contains(&0x30), "byte load");
        assert!(!taken.contains(&0x94), "modulo: sockets have it, seccomp does not");
    }

    #[test]
    fn refuses_what_would_leave_the_program_or_the_data() {
        assert!(check(&[]).is_err());
        assert!(check(&[ALLOW; MAX_INSTRUCTIONS + 1]).is_err());
        assert!(check(&[ALLOW; MAX_INSTRUCTIONS]).is_ok());
        assert!(check(&[SockFilter::new(LD_ABS, 0, 0, 0)]).is_err());
        assert!(refused(SockFilter::new(LD_ABS, 0, 0, 64)));
        assert!(refused(SockFilter::new(LD_ABS, 0, 0, 2)));
        assert!(refused(SockFilter::new(JA, 0, 0, 1)));
        assert!(refused(SockFilter::new(JA, 0, 0, u32::MAX)));
        assert!(refused(SockFilter::new(jump(JEQ), 1, 0, 0)));
        assert!(refused(SockFilter::new(jump(JEQ), 0, 1, 0)));
        assert!(refused(SockFilter::new(alu(LSH), 0, 0, 32)));
        assert!(refused(SockFilter::new(ST, 0, 0, 16)));
    }

    #[test]
    fn memory_is_written_before_it_is_read_on_every_path() {
        let (store, load) = (SockFilter::new(ST, 0, 0, 3), SockFilter::new(LD_MEM, 0, 0, 3));
        assert!(check(&[store, load, ALLOW]).is_ok());
        assert!(check(&[load, store, ALLOW]).is_err());
        // One way round the store.
        assert!(check(&[SockFilter::new(jump(JEQ), 1, 0, 0), store, load, ALLOW]).is_err());
        // Both ways through it.
        assert!(check(&[SockFilter::new(jump(JEQ), 0, 0, 0), store, load, ALLOW]).is_ok());
    }
}
