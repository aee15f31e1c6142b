//! bpf(2): programs attached to cgroups. Nothing of libbpf is needed for a filter of a few dozen instructions.

use crate::{Errno, Result, owned, ret};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The first argument of bpf(2), linux/bpf.h.
pub mod command {
    /// Load a program.
    pub const PROG_LOAD: u32 = 5;
    /// Attach one.
    pub const PROG_ATTACH: u32 = 8;
    /// Take one off.
    pub const PROG_DETACH: u32 = 9;
    /// Open one by its number.
    pub const PROG_GET_FD_BY_ID: u32 = 13;
    /// Ask about one.
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    /// Ask what is attached.
    pub const PROG_QUERY: u32 = 16;
}

use command::{OBJ_GET_INFO_BY_FD, PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID, PROG_LOAD, PROG_QUERY};

/// Several programs may be attached to one cgroup, and those of its ancestors run too.
pub const ALLOW_MULTI: u32 = 1 << 1;
/// The new program takes the place of a given one (Linux 5.6).
const REPLACE: u32 = 1 << 2;

/// `BPF_PROG_TYPE_CGROUP_DEVICE` and the matching attach type.
pub const CGROUP_DEVICE: Kind = Kind { program: 15, attach: 6 };

/// The kernel's limit of programs attached to one cgroup at one place (`BPF_CGROUP_MAX_PROGS`).
const MAX_PROGRAMS: usize = 64;
/// `BPF_F_QUERY_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// What a program filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `enum bpf_prog_type`.
    pub program: u32,
    /// `enum bpf_attach_type`.
    pub attach: u32,
}

/// One instruction as the kernel reads it: opcode, registers, offset, immediate. Documentation/bpf/standardization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    /// Class and operation.
    pub code: u8,
    /// Destination in the low four bits, source in the high four: the order of a little-endian machine.
    pub registers: u8,
    /// Jump distance or address offset.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

impl Insn {
    /// From the bytes that the kernel is given.
    #[must_use]
    pub fn from_bytes([code, registers, a, b, c, d, e, f]: [u8; 8]) -> Self {
        let (offset, immediate) = (i16::from_ne_bytes([a, b]), i32::from_ne_bytes([c, d, e, f]));
        Insn { code, registers, offset, immediate }
    }
}

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    unused: u32,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// One bpf(2) call with an attribute block of type `T`.
fn bpf<T>(command: u32, attributes: &mut T) -> Result<libc::c_long> {
    let size = u32::try_from(size_of::<T>()).map_err(|_| Errno::E2BIG)?;
    // SAFETY: the kernel reads and writes at most `size` bytes at the pointer, which is what `T` has; every `T` here is
    // repr(C) without padding, so that no byte of it is uninitialised, and whatever it points to outlives the call,
    // since the callers below hold it borrowed.
    ret(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) })
}

fn number(fd: BorrowedFd<'_>) -> Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF)
}

/// Verifies and loads a program. Needs CAP_BPF (or CAP_SYS_ADMIN) in the initial user namespace.
///
/// # Errors
/// `EPERM` without the capability, `EINVAL` or `EACCES` where the verifier refuses the program.
pub fn load(kind: Kind, instructions: &[Insn], license: &CStr) -> Result<OwnedFd> {
    let mut attributes = Load {
        prog_type: kind.program,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_name: *b"zviz_device\0\0\0\0\0",
        ..Load::default()
    };
    bpf(PROG_LOAD, &mut attributes).and_then(owned)
}

/// Attaches a program to a cgroup v2 directory beside those that are there, or in the place of `instead_of`.
///
/// # Errors
/// `EPERM` where an ancestor forbids more programs, `EINVAL` where the kernel (before 5.6) cannot replace.
pub fn attach(
    kind: Kind,
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    instead_of: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attributes = Attach {
        target_fd: number(cgroup)?,
        attach_bpf_fd: number(program)?,
        attach_type: kind.attach,
        attach_flags: ALLOW_MULTI | if instead_of.is_some() { REPLACE } else { 0 },
        replace_bpf_fd: instead_of.map_or(Ok(0), number)?,
    };
    bpf(PROG_ATTACH, &mut attributes).map(drop)
}

/// Takes a program off a cgroup.
///
/// # Errors
/// `ENOENT` where it is not attached.
pub fn detach(kind: Kind, cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attributes = Attach {
        target_fd: number(cgroup)?,
        attach_bpf_fd: number(program)?,
        attach_type: kind.attach,
        ..Attach::default()
    };
    bpf(PROG_DETACH, &mut attributes).map(drop)
}

/// The number that the kernel has for a program. Unlike a descriptor it is the same for whoever holds it.
///
/// # Errors
/// `EINVAL` where it is no program.
pub fn id(program: BorrowedFd<'_>) -> Result<u32> {
    let mut info = Info::default();
    let (fd, length) = (number(program)?, size_of::<Info>() as u32);
    let mut attributes = InfoByFd { fd, length, info: (&raw mut info) as u64 };
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    // Maps have such a structure too, and their kinds other numbers; whoever asks knows the numbers of its programs.
    Ok(info.id)
}

/// What is attached somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// `BPF_F_*` that it was attached with, all of it.
    pub flags: u32,
    /// The programs' numbers, in the order in which they run.
    pub ids: Vec<u32>,
}

/// What is attached to a cgroup itself.
///
/// # Errors
/// Those of `BPF_PROG_QUERY`.
pub fn query(kind: Kind, cgroup: BorrowedFd<'_>) -> Result<Attached> {
    ask(kind, cgroup, 0)
}

/// Whether any program runs for a cgroup, its own or an ancestor's.
///
/// # Errors
/// As `query`.
pub fn is_filtered(kind: Kind, cgroup: BorrowedFd<'_>) -> Result<bool> {
    match ask(kind, cgroup, EFFECTIVE) {
        // More than there is room for.
        Err(Errno::ENOSPC) => Ok(true),
        other => Ok(!other?.ids.is_empty()),
    }
}

fn ask(kind: Kind, cgroup: BorrowedFd<'_>, query_flags: u32) -> Result<Attached> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Query {
        target_fd: number(cgroup)?,
        attach_type: kind.attach,
        query_flags,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    bpf(PROG_QUERY, &mut query)?;
    let count = usize::try_from(query.prog_cnt).unwrap_or(MAX_PROGRAMS).min(MAX_PROGRAMS);
    Ok(Attached { flags: query.attach_flags, ids: ids[..count].to_vec() })
}

/// The programs attached to a cgroup itself, not to its ancestors, as descriptors. One that a security module keeps
/// from us is left out: it can only deny more.
///
/// # Errors
/// Those of `BPF_PROG_QUERY` and `BPF_PROG_GET_FD_BY_ID`.
pub fn attached(kind: Kind, cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let ids = query(kind, cgroup)?.ids;
    let mut programs = Vec::with_capacity(ids.len());
    for prog_id in ids {
        match bpf(PROG_GET_FD_BY_ID, &mut ById { prog_id, ..ById::default() }) {
            Ok(fd) => programs.push(owned(fd)?),
            // Gone since the query, or out of our reach.
            Err(Errno::ENOENT | Errno::EPERM | Errno::EACCES) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}
