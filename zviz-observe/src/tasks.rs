//! Which tasks there are, and the calls that they are in.

use crate::address::Raw;
use crate::call::{Call, Intent, Named};
use crate::decode::{self, Numbers, Pending, Read, addressed, of_descriptor};
use crate::resolve;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use zviz_sys::ptrace::{self, At};
use zviz_sys::wait::Exit;

/// What the kernel has a call give that a signal has interrupted and that is made again: ERESTARTSYS and the like,
/// linux/errno.h. No program ever sees them.
const RESTARTS: [i64; 4] = [-512, -513, -514, -516];

/// A call that has begun.
#[derive(Debug)]
struct Begun {
    arch: u32,
    number: u64,
    args: [u64; 6],
    paths: Vec<Pending>,
    address: Option<Raw>,
    opens: bool,
    executes: bool,
    program: PathBuf,
}

/// A thread.
#[derive(Debug, Default)]
struct Task {
    /// The process that it belongs to.
    process: i32,
    /// It comes of a program that init has executed. What init does before that is the runtime's own business, as is what the
    /// reaper does.
    payload: bool,
    begun: Option<Begun>,
}

/// All that are traced.
#[derive(Default)]
pub struct Tasks {
    tasks: HashMap<i32, Task>,
    programs: HashMap<i32, PathBuf>,
    numbers: Numbers,
    most: usize,
}

/// A line of /proc/TASK/status, which is a number.
fn status(task: i32, key: &str) -> Option<i32> {
    let status = fs::read(format!("/proc/{task}/status")).ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
    str::from_utf8(value).ok()?.trim().parse().ok()
}

impl Tasks {
    /// The most of the payload's at one time.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The numbers of all processes.
    pub fn processes(&self) -> BTreeSet<i32> {
        self.tasks.values().map(|task| task.process).collect()
    }

    /// Notes a task that is seen for the first time; its parent may tell of it later.
    pub fn meet(&mut self, task: i32) {
        if self.tasks.contains_key(&task) {
            return;
        }
        let process = status(task, "Tgid").unwrap_or(task);
        let maker = if process == task { status(task, "PPid").unwrap_or(0) } else { process };
        let payload = self.tasks.get(&maker).is_some_and(|maker| maker.payload);
        self.tasks.insert(task, Task { process, payload, begun: None });
        self.count();
    }

    fn count(&mut self) {
        self.most = self.most.max(self.tasks.values().filter(|task| task.payload).count());
    }

    /// A task has made another.
    pub fn cloned(&mut self, parent: i32, child: i32) {
        self.meet(child);
        let payload = self.tasks.get(&parent).is_some_and(|parent| parent.payload);
        if let Some(child) = self.tasks.get_mut(&child) {
            child.payload |= payload;
        }
        self.count();
    }

    /// A process has another program. The task that called execve had the number `before`; the others are gone.
    pub fn executed(&mut self, process: i32, before: i32) {
        let begun = self.tasks.get_mut(&before).and_then(|task| task.begun.take());
        self.tasks.retain(|number, task| task.process != process || *number == process);
        self.tasks.insert(process, Task { process, payload: true, begun });
        self.programs.insert(process, resolve::program(process));
        self.count();
    }

    /// A task stands at the begin or the end of a call; at an end, this is the call.
    pub fn at_call(&mut self, number: i32) -> Option<Call> {
        match ptrace::at(number).ok()? {
            At::Begin { arch, number: call, args } => {
                self.begin(number, arch, call, args);
                None
            }
            At::End(result) => {
                let task = self.tasks.get_mut(&number)?;
                let begun = task.begun.take()?;
                let process = task.process;
                (!RESTARTS.contains(&result)).then(|| begun.ended(number, process, result))
            }
            At::Nowhere => None,
        }
    }

    fn begin(&mut self, number: i32, arch: u32, call: u64, args: [u64; 6]) {
        self.meet(number);
        let entry = self.numbers.entry(arch, call);
        let Some(task) = self.tasks.get_mut(&number) else { return };
        task.begun = None;
        let executes = entry.is_some_and(|entry| entry.name.starts_with("execve"));
        if !task.payload && !executes {
            return;
        }
        let read = entry.map(|entry| decode::read(number, entry, &args)).unwrap_or_default();
        let Read { paths, address, opens } = read;
        let program = self.programs.entry(task.process).or_insert_with(|| resolve::program(number)).clone();
        task.begun = Some(Begun { arch, number: call, args, paths, address, opens, executes, program });
    }

    /// A task is over. A call that it was in never ended.
    pub fn ended(&mut self, number: i32, exit: Exit) -> Option<Call> {
        let task = self.tasks.remove(&number)?;
        if !self.tasks.values().any(|other| other.process == task.process) {
            self.programs.remove(&task.process);
        }
        let result = if exit == Exit::Signal(libc::SIGSYS) { Call::KILLED } else { Call::UNFINISHED };
        Some(task.begun?.ended(number, task.process, result))
    }
}

impl Begun {
    fn ended(self, task: i32, pid: i32, result: i64) -> Call {
        let Begun { arch, number, args, paths, address, opens, executes, program } = self;
        let mut paths: Vec<_> = paths.into_iter().map(|path| path.named(task)).collect();
        if let (true, Ok(fd), [named]) = (opens, i32::try_from(result), &mut paths[..])
            && fd >= 0
            && let Some(path) = resolve::descriptor(task, fd)
            // What proc itself has keeps its name: there the number of the process would be another at each run.
            && !path.starts_with("/proc")
        {
            // What was opened is where it led, by way of proc's links too.
            named.path = path;
        }
        if executes && result == 0 {
            let path = resolve::program(task);
            if !paths.iter().any(|named| named.path == path) {
                let text = path.as_os_str().as_encoded_bytes().to_vec();
                paths.push(Named { path, text, intent: Intent::Execute });
            }
        }
        if paths.is_empty() {
            paths.extend(of_descriptor(task, arch, number, &args, result));
        }
        let address = address.map(|raw| addressed(task, raw));
        Call { pid, program, arch, number, args, result, paths, address }
    }
}
