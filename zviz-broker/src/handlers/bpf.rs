//! bpf(2), for one thing alone: programs that decide about devices, for cgroups that the container has made below its own.
//! systemd, runc and crun need no more inside a container. A program of an ancestor always counts too, so that what comes
//! through here can only take away.

pub mod program;

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::{Held, Seen};
use crate::policy::Policy;
use nix::errno::Errno;
use zviz_sys::bpf::command::{PROG_ATTACH, PROG_DETACH, PROG_LOAD, PROG_QUERY};
use zviz_sys::bpf::{ALLOW_MULTI, CGROUP_DEVICE, Insn};

const RULE: &str = "bpf_devices";
/// What is read of `union bpf_attr` at most. The kernel knows about 170 bytes of it (Linux 6.18).
const MOST: usize = 256;
/// `BPF_PROG_TYPE_CGROUP_SKB`. runc (by cilium/ebpf) loads one of two instructions, an answer, to find out whether the kernel
/// attaches programs at all, and does nothing without. It gets one about devices, which can be attached as nothing else.
const CGROUP_SKB: u32 = 8;
/// Bytes of an instruction.
const INSN: usize = 8;

/// [`Work::numbers`] of it: which command, the program's descriptor or how many numbers there is room for, the address of
/// `union bpf_attr`, and where the numbers go.
pub const COMMAND: usize = 0;
/// The program's descriptor; for a query how many numbers there is room for.
pub const PROGRAM: usize = 1;
/// The address of `union bpf_attr`.
pub const ATTRIBUTES: usize = 2;
/// The address where the numbers of programs go.
pub const NUMBERS: usize = 3;

/// Where the fields of `union bpf_attr` are, linux/bpf.h.
pub mod field {
    /// `query.attach_flags`, written.
    pub const QUERY_FLAGS: u64 = 12;
    /// `query.prog_cnt`, written.
    pub const QUERY_COUNT: u64 = 24;
}

/// `union bpf_attr`, whose rest is zeroes.
struct Attributes([u8; MOST]);

impl Attributes {
    fn word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn long(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }

    /// Whether everything from there on is zero.
    fn ends(&self, at: usize) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
    }
}

/// bpf(2): command, attributes, their size.
pub fn bpf(_: &Policy, held: Held<'_>) -> Decision {
    let (command, address, size) = (held.int(0), held.long(1), held.int(2));
    let name = match command {
        PROG_LOAD => "load",
        PROG_ATTACH => "attach",
        PROG_DETACH => "detach",
        PROG_QUERY => "query",
        _ => return Decision::refuse(Errno::EPERM, RULE).seeing(vec![("command", Argument::Number(command.into()))]),
    };
    let mut seen = vec![("command", Argument::Word(name))];
    let mut held = held.look();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let decided = attributes(&mut held, size).and_then(|mut attributes| match command {
        PROG_LOAD => load(&mut attributes, &mut |at, length| held.bytes_at(at, length)),
        PROG_ATTACH => attach(&attributes),
        PROG_DETACH => detach(&attributes),
        _ => query(&attributes),
    });
    match decided {
        Ok(mut work) => {
            let [command_at, _, address_at, _] = &mut work.numbers;
            (*command_at, *address_at) = (command.into(), address);
            Decision::new(Step::Do(work), RULE).seeing(seen)
        }
        Err((errno, why)) => {
            seen.extend((!why.is_empty()).then_some(("why", Argument::Word(why))));
            Decision::refuse(errno, RULE).seeing(seen)
        }
    }
}

/// An errno, and why in the audit's words.
type Refusal = (Errno, &'static str);
type Read<'r> = &'r mut dyn FnMut(u64, usize) -> Result<Vec<u8>, Errno>;

/// Copies them.
fn attributes(held: &mut Seen<'_>, size: usize) -> Result<Attributes, Refusal> {
    let mut attributes = Attributes([0; MOST]);
    let place = attributes.0.get_mut(..size).ok_or((Errno::E2BIG, ""))?;
    place.copy_from_slice(&held.bytes(1, size).map_err(|errno| (errno, ""))?);
    Ok(attributes)
}

/// `BPF_PROG_LOAD`. License, name, kernel version and log are left alone: nothing depends on them for such a program.
fn load(attributes: &mut Attributes, read: Read<'_>) -> Result<Work, Refusal> {
    let probes = attributes.word(0) == CGROUP_SKB;
    if attributes.word(0) != CGROUP_DEVICE.program && !probes {
        return Err((Errno::EPERM, "is no program about devices"));
    }
    let count = usize::try_from(attributes.word(4)).unwrap_or(usize::MAX);
    if count == 0 || count > program::MOST {
        return Err((Errno::E2BIG, "must have 1 to 4096 instructions"));
    }
    // prog_flags; prog_ifindex; expected_attach_type, which libbpf says and nobody asks; and all that came after, but for how
    // long a record of functions, lines or relocations would be, which callers say who have none (cilium/ebpf).
    let (flags, interface, place) = (attributes.word(44), attributes.word(64), attributes.word(68));
    attributes.0[76..80].fill(0);
    attributes.0[92..96].fill(0);
    attributes.0[136..140].fill(0);
    if flags != 0 || interface != 0 || !(place == 0 || place == CGROUP_DEVICE.attach) || !attributes.ends(72) {
        return Err((Errno::EPERM, "asks for more than a program"));
    }
    let bytes = read(attributes.long(8), count * INSN).map_err(|errno| (errno, ""))?;
    let insns = instructions(&bytes);
    program::check(&insns).map_err(|flaw| (Errno::EPERM, flaw.why))?;
    if probes && insns.len() != 2 {
        return Err((Errno::EPERM, "is no program about devices"));
    }
    Ok(Work { texts: [Some(bytes), None, None, None], ..Work::new(Op::Devices) })
}

/// Bytes as instructions; what is left over is none.
#[must_use]
pub fn instructions(bytes: &[u8]) -> Vec<Insn> {
    bytes.as_chunks::<INSN>().0.iter().map(|bytes| Insn::from_bytes(*bytes)).collect()
}

/// `BPF_PROG_ATTACH`: beside others only. Programs that may be overridden below would not hold there, and nobody asks for them.
fn attach(attributes: &Attributes) -> Result<Work, Refusal> {
    let flags = attributes.word(12);
    is_of_devices(attributes, 8)?;
    if flags & ALLOW_MULTI == 0 {
        return Err((Errno::EPERM, "is not attached beside others"));
    }
    if flags != ALLOW_MULTI || !attributes.ends(16) {
        // As of a kernel that does not know BPF_F_REPLACE and the like: callers do it in two steps then.
        return Err((Errno::EINVAL, "is attached in a way that is not known"));
    }
    on_cgroup(attributes, attributes.word(4).into())
}

fn detach(attributes: &Attributes) -> Result<Work, Refusal> {
    is_of_devices(attributes, 8)?;
    if !attributes.ends(12) {
        return Err((Errno::EINVAL, "is detached with a flag"));
    }
    on_cgroup(attributes, attributes.word(4).into())
}

/// `BPF_PROG_QUERY` of what is attached to the cgroup itself.
fn query(attributes: &Attributes) -> Result<Work, Refusal> {
    is_of_devices(attributes, 4)?;
    if attributes.word(8) != 0 {
        return Err((Errno::EPERM, "asks what is attached to others"));
    }
    if !attributes.ends(32) {
        return Err((Errno::EINVAL, "asks for more than numbers"));
    }
    let mut work = on_cgroup(attributes, attributes.word(24).into())?;
    if let Some(place) = work.numbers.get_mut(NUMBERS) {
        *place = attributes.long(16);
    }
    Ok(work)
}

fn is_of_devices(attributes: &Attributes, at: usize) -> Result<(), Refusal> {
    if attributes.word(at) == CGROUP_DEVICE.attach { Ok(()) } else { Err((Errno::EPERM, "is not about devices")) }
}

fn on_cgroup(attributes: &Attributes, program: u64) -> Result<Work, Refusal> {
    let cgroup = attributes.word(0).cast_signed();
    if cgroup < 0 {
        return Err((Errno::EBADF, ""));
    }
    Ok(Work { numbers: [0, program, 0, 0], descriptor: Some(cgroup), ..Work::new(Op::Devices) })
}

#[cfg(test)]
mod tests;
