//! The process that traces.

use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::wire::{self, Word};
use nix::poll::PollTimeout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::ptrace::{self, Change, Changed};
use zviz_sys::{Errno, fd};

/// How often is looked for what has changed while nobody reads, in milliseconds.
const AGAIN: u8 = 2;

/// Traces the process whose number comes through `control`, and all that it makes, until the last one has ended. Says
/// what it sees into `out`.
///
/// # Errors
/// It ends early then, and the kernel kills what it traces.
pub fn run(control: OwnedFd, out: OwnedFd) -> Result<(), Errno> {
    let mut number = [0; 4];
    if fd::read(control.as_fd(), &mut number)? != number.len() {
        // Nothing is to be traced.
        return Ok(());
    }
    let init = i32::from_le_bytes(number);
    let seized = ptrace::seize(init).and_then(|()| ptrace::interrupt(init));
    let errno = seized.err().map_or(0, |errno| errno as i32);
    fd::write_all(control.as_fd(), &errno.to_le_bytes())?;
    seized?;
    drop(control);
    watch(init, Outbox::new(out)?).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// With init the sandbox is over. What is left of it then, which the end of a pid namespace would have killed, is killed.
fn watch(init: i32, mut out: Outbox) -> std::io::Result<()> {
    let mut tasks = Tasks::default();
    let mut memory = 0;
    loop {
        let changed = match ptrace::wait(true) {
            // Whoever reads is told all before this waits; and who does not read yet may wait for one of these to go on.
            Ok(None) if !out.send()? => {
                out.wait(PollTimeout::from(AGAIN))?;
                continue;
            }
            Ok(None) => ptrace::wait(false),
            other => other,
        };
        let changed = match changed {
            Ok(Some(changed)) => changed,
            Ok(None) => continue,
            Err(Errno::ECHILD) => break,
            Err(errno) => return Err(errno.into()),
        };
        memory = memory.max(changed.peak);
        if let Some(call) = turn(&mut tasks, changed) {
            wire::write(&mut out, &Word::Call(call))?;
            out.settle()?;
        }
        if changed.task == init && matches!(changed.change, Change::Ended(_)) {
            for process in tasks.processes() {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
    }
    let bytes = u64::try_from(memory).unwrap_or(0).saturating_mul(1024);
    wire::write(&mut out, &Word::End(tasks.most() as u64, bytes))?;
    out.finish()
}

/// Notes a change, and lets the task go on. One that cannot was killed meanwhile, and its end comes next.
fn turn(tasks: &mut Tasks, Changed { task, change, .. }: Changed) -> Option<crate::Call> {
    let (call, signal) = match change {
        Change::Ended(exit) => return tasks.ended(task, exit),
        Change::Stopped(_) => {
            let _ = ptrace::leave_stopped(task);
            return None;
        }
        Change::Signal(signal) => (None, signal),
        Change::Call => (tasks.at_call(task), 0),
        Change::Trapped => {
            tasks.meet(task);
            (None, 0)
        }
        Change::Cloned => {
            if let Some(child) = ptrace::message(task).ok().and_then(|child| i32::try_from(child).ok()) {
                tasks.cloned(task, child);
            }
            (None, 0)
        }
        Change::Executed => {
            let before = ptrace::message(task).ok().and_then(|before| i32::try_from(before).ok());
            tasks.executed(task, before.unwrap_or(task));
            (None, 0)
        }
    };
    let _ = ptrace::resume(task, signal);
    call
}
