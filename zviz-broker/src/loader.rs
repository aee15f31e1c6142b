//! The part of the broker with a right over the host: it loads programs that decide about devices, and attaches them to cgroups
//! below the container's own. The kernel lets nobody in a user namespace do either. It exists only where the policy has
//! `bpf_devices`, keeps [`CAPABILITIES`] alone, and believes nothing that the eyes say: it checks programs, cgroups and
//! descriptors again by itself.
//!
//! ```text
//! eyes ── Enter + the container's cgroup ────────►  loader     once
//!      ── Load, instructions ────────────────────►             checked; the same ones are loaded once
//!      ◄── errno + program
//!      ── Attach, Detach or Query + cgroup, program ──►        below the container's own? one of ours?
//!      ◄── errno, flags, numbers
//! ```

mod cgroup;
mod wire;

pub(crate) use wire::{Answer, Request, ask, read_answer};

use crate::confine;
use crate::handlers::bpf::{instructions, program};
use cgroup::Own;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::bpf::{self, CGROUP_DEVICE};
use zviz_sys::process::{self, Cloned};
use zviz_sys::seccomp::Instruction;
use zviz_sys::{fd, ids, wait};

/// What loading and attaching such a program takes: CAP_BPF and CAP_NET_ADMIN. linux/capability.h.
pub(crate) const CAPABILITIES: u64 = 1 << 39 | 1 << 12;

/// Programs of one container, and their instructions in all. They stay until it ends: the kernel does not tell whether anybody
/// still has one, does not charge compiled programs to anybody, and holds back none of who has CAP_BPF.
const MOST_PROGRAMS: usize = 256;
const MOST_INSTRUCTIONS: usize = 1 << 16;

/// The loader, as the eyes have it.
#[derive(Debug)]
pub(crate) struct Loader {
    pub socket: OwnedFd,
    pub pidfd: OwnedFd,
}

impl Loader {
    /// Tells it the container's cgroup.
    ///
    /// # Errors
    /// EINVAL where it is none of version 2.
    pub(crate) fn enter(&self, cgroup: Option<OwnedFd>) -> Result<(), Errno> {
        let cgroup = cgroup.ok_or(Errno::EINVAL)?;
        ask(self.socket.as_fd(), Request::Enter, &[cgroup.as_fd()])?;
        read_answer(self.socket.as_fd())?.map(drop)
    }

    /// Ends it, and waits for that. The verifier may be at a program for a second, which nobody waits for any more.
    pub(crate) fn end(self) {
        let _ = process::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = wait::wait(self.pidfd.as_fd());
    }
}

/// Whether this process could start one: by loading a program that allows everything, for nobody.
///
/// # Errors
/// EPERM where the capabilities are missing, or are not over the host.
pub(crate) fn is_possible() -> Result<(), Errno> {
    let allow = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]].map(bpf::Insn::from_bytes);
    bpf::load(CGROUP_DEVICE, &allow, c"").map(drop)
}

/// Starts one, in a process of its own.
pub(crate) fn start(filter: &[Instruction]) -> Result<Loader, Errno> {
    let (ours, theirs) = fd::packet_pair()?;
    match process::fork()? {
        Cloned::Parent { pidfd, .. } => Ok(Loader { socket: ours, pidfd }),
        Cloned::Child => {
            let confined = confine::detach(c"zviz-loader", &[Some(theirs.as_fd())])
                .and_then(|()| ids::set_capabilities(CAPABILITIES, CAPABILITIES, 0))
                .and_then(|()| confine::load_after(filter));
            if confined.is_err() {
                process::exit(1)
            }
            run(&theirs)
        }
    }
}

struct Loaded {
    bytes: Vec<u8>,
    program: OwnedFd,
    id: u32,
}

#[derive(Default)]
struct Inside {
    own: Option<Own>,
    programs: Vec<Loaded>,
}

/// Serves until the eyes are gone. What is attached by then stays, until its cgroup goes.
fn run(eyes: &OwnedFd) -> ! {
    let mut inside = Inside::default();
    let mut packet = vec![0u8; wire::PACKET];
    loop {
        let Ok((request, fds)) = wire::receive(eyes.as_fd(), &mut packet) else { process::exit(0) };
        if wire::send_answer(eyes.as_fd(), &inside.act(&request, fds)).is_err() {
            process::exit(0)
        }
    }
}

impl Inside {
    fn act(&mut self, request: &Request<'_>, fds: [Option<OwnedFd>; 2]) -> Result<Answer, Errno> {
        let [cgroup, program] = fds;
        let given = cgroup.as_ref().ok_or(Errno::EBADF).map(AsFd::as_fd);
        let none = Answer { flags: 0, ids: Vec::new(), program: None };
        match request {
            Request::Enter if self.own.is_none() => self.own = Some(Own::new(cgroup.ok_or(Errno::EBADF)?)?),
            Request::Enter => return Err(Errno::EBUSY),
            Request::Load(bytes) => return Ok(Answer { program: Some(self.load(bytes)?), ..none }),
            Request::Attach => {
                let cgroup = self.below(given?)?;
                let program = self.known(program)?;
                if !self.own()?.still_counts()? {
                    return Err(Errno::EPERM);
                }
                bpf::attach(CGROUP_DEVICE, cgroup, program, None)?;
            }
            Request::Detach => bpf::detach(CGROUP_DEVICE, self.below(given?)?, self.known(program)?)?,
            Request::Query => {
                let bpf::Attached { flags, ids } = bpf::query(CGROUP_DEVICE, self.below(given?)?)?;
                return Ok(Answer { flags, ids, ..none });
            }
        }
        Ok(none)
    }

    fn own(&self) -> Result<&Own, Errno> {
        self.own.as_ref().ok_or(Errno::EPERM)
    }

    fn below<'c>(&self, cgroup: BorrowedFd<'c>) -> Result<BorrowedFd<'c>, Errno> {
        if self.own()?.is_above(cgroup)? { Ok(cgroup) } else { Err(Errno::EPERM) }
    }

    /// One that was loaded here, by what the caller has of it. It is our own descriptor that is used.
    fn known(&self, program: Option<OwnedFd>) -> Result<BorrowedFd<'_>, Errno> {
        let id = bpf::id(program.ok_or(Errno::EBADF)?.as_fd())?;
        let loaded = self.programs.iter().find(|loaded| loaded.id == id);
        loaded.map(|loaded| loaded.program.as_fd()).ok_or(Errno::EPERM)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<OwnedFd, Errno> {
        let copy = |program: &OwnedFd| program.try_clone().map_err(|_| Errno::EMFILE);
        if let Some(loaded) = self.programs.iter().find(|loaded| loaded.bytes == bytes) {
            return copy(&loaded.program);
        }
        let insns = instructions(bytes);
        program::check(&insns).map_err(|_| Errno::EPERM)?;
        let loaded: usize = self.programs.iter().map(|loaded| instructions(&loaded.bytes).len()).sum();
        if self.programs.len() == MOST_PROGRAMS || loaded + insns.len() > MOST_INSTRUCTIONS {
            return Err(Errno::ENOSPC);
        }
        let program = bpf::load(CGROUP_DEVICE, &insns, c"")?;
        let (id, given) = (bpf::id(program.as_fd())?, copy(&program)?);
        self.programs.push(Loaded { bytes: bytes.to_vec(), program, id });
        Ok(given)
    }
}
