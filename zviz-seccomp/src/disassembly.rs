//! Programs as text: one line an instruction, jumps by the line they go to.

use std::fmt;

use crate::bpf::*;
use crate::{Action, Program, SockFilter};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instruction) in self.instructions().iter().enumerate() {
            write!(f, "{at:4}: ")?;
            line(f, at, *instruction)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, at: usize, instruction: SockFilter) -> fmt::Result {
    let SockFilter { code, jt, jf, k } = instruction;
    match code {
        LD_ABS => write!(f, "A = {}", field(k)),
        LD_LEN => write!(f, "A = size"),
        LDX_LEN => write!(f, "X = size"),
        LD_IMM => write!(f, "A = {k:#x}"),
        LDX_IMM => write!(f, "X = {k:#x}"),
        LD_MEM => write!(f, "A = M[{k}]"),
        LDX_MEM => write!(f, "X = M[{k}]"),
        ST => write!(f, "M[{k}] = A"),
        STX => write!(f, "M[{k}] = X"),
        TAX => write!(f, "X = A"),
        TXA => write!(f, "A = X"),
        NEG => write!(f, "A = -A"),
        RET_K => write!(f, "return {}", Action::from_raw(k)),
        RET_A => write!(f, "return A"),
        JA => write!(f, "goto {}", at + 1 + k as usize),
        _ => {
            let operand = if code & OPERAND_X != 0 { "X".to_owned() } else { format!("{k:#x}") };
            if code & CLASS == CLASS_ALU {
                return write!(f, "A = A {} {operand}", arithmetic(code & OPERATION));
            }
            let (yes, no) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
            write!(f, "if A {} {operand} goto {yes} else {no}", comparison(code & OPERATION))
        }
    }
}

fn field(offset: u32) -> String {
    match offset {
        OFFSET_NR => "nr".to_owned(),
        OFFSET_ARCH => "arch".to_owned(),
        OFFSET_IP..OFFSET_ARGS => format!("ip[{}]", (offset - OFFSET_IP) / 4),
        _ => format!("arg{}[{}]", (offset - OFFSET_ARGS) / 8, (offset - OFFSET_ARGS) % 8 / 4),
    }
}

fn comparison(operation: u16) -> &'static str {
    match operation {
        JEQ => "==",
        JGT => ">",
        JGE => ">=",
        _ => "&",
    }
}

fn arithmetic(operation: u16) -> &'static str {
    match operation {
        ADD => "+",
        SUB => "-",
        MUL => "*",
        DIV => "/",
        OR => "|",
        AND => "&",
        LSH => "<<",
        RSH => ">>",
        _ => "^",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_program() {
        let program = Program::new(vec![
            SockFilter::new(LD_ABS, 0, 0, 20),
            SockFilter::new(alu(AND), 0, 0, 0xff),
            SockFilter::new(jump(JEQ), 0, 1, 7),
            SockFilter::new(RET_K, 0, 0, 0x0005_0001),
            SockFilter::new(RET_K, 0, 0, 0x7fff_0000),
        ]);
        let lines = "   0: A = arg0[1]\n   1: A = A & 0xff\n   2: if A == 0x7 goto 3 else 4\n   3: return errno EPERM\n   4: return allow\n";
        assert_eq!(program.unwrap().to_string(), lines);
    }
}
