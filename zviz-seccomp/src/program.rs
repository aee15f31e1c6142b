//! A compiled filter: classic BPF instructions that the kernel would accept.

use crate::Error;

/// One instruction, laid out as the kernel's `struct sock_filter` (eight bytes).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a condition holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// The size of an instruction in bytes.
pub const INSTRUCTION_SIZE: usize = size_of::<SockFilter>();
/// The kernel's limit, BPF_MAXINSNS.
pub const MAX_INSTRUCTIONS: usize = 4096;

impl SockFilter {
    pub(crate) const fn new(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    fn to_bytes(self) -> [u8; INSTRUCTION_SIZE] {
        let ([a, b], [e, f, g, h]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [a, b, self.jt, self.jf, e, f, g, h]
    }

    /// Instructions in this machine's byte order; `None` when the last is cut short.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<SockFilter>> {
        let (chunks, []) = bytes.as_chunks::<INSTRUCTION_SIZE>() else { return None };
        let one = |[a, b, jt, jf, e, f, g, h]: &[u8; INSTRUCTION_SIZE]| {
            SockFilter::new(u16::from_ne_bytes([*a, *b]), *jt, *jf, u32::from_ne_bytes([*e, *f, *g, *h]))
        };
        Some(chunks.iter().map(one).collect())
    }
}

/// A filter that the kernel would accept: checked when it is made, so holding one is the proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    instructions: Vec<SockFilter>,
}

impl Program {
    /// Checks instructions as the kernel does before it takes a filter.
    pub fn new(instructions: Vec<SockFilter>) -> Result<Program, Error> {
        crate::check::check(&instructions)?;
        Ok(Program { instructions })
    }

    /// The instructions, at most [`MAX_INSTRUCTIONS`]; what seccomp(2) takes.
    pub fn instructions(&self) -> &[SockFilter] {
        &self.instructions
    }

    /// The instructions as bytes in this machine's order: what seccomp_export_bpf(3) writes and bubblewrap reads.
    pub fn as_bytes(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(|instruction| instruction.to_bytes()).collect()
    }

    /// The inverse of [`Program::as_bytes`], for bytes from anywhere.
    pub fn from_bytes(bytes: &[u8]) -> Result<Program, Error> {
        if bytes.len() > MAX_INSTRUCTIONS * INSTRUCTION_SIZE {
            return Err(Error::TooLong(bytes.len() / INSTRUCTION_SIZE));
        }
        Program::new(SockFilter::parse(bytes).ok_or(Error::Export(bytes.len()))?)
    }
}
