//! What the broker decided, and what became of the broker: one record an event, to a file, a descriptor or journald.
//!
//! ```text
//! broker's threads ── record ──► queue, 1 MiB ──► one writer thread ──► sink
//! ```
//!
//! Whoever records never waits: what finds the queue full is dropped and counted, and a `dropped` record says so where
//! there is room again. A sink that fails is tried again, at most a second apart; until then records wait in the queue.
//!
//! A record is one line of JSON. Most of what it says was chosen by a hostile workload, so each string is bounded and
//! holds printable characters only, as `text` escapes them: neither a reader of JSON nor a terminal that shows its
//! strings can be misled. `Argument` has no variant for the contents of a buffer.
//!
//! Files are opened and journald is connected to before the broker loses file-system calls; `start` comes before that
//! as well, since it makes a thread. From then on `SYSCALLS` are enough.

mod argument;
mod event;
pub mod files;
pub mod journal;
mod queue;
mod record;
pub mod text;
pub mod time;
mod writer;

pub use argument::{Address, Argument};
pub use event::{Ask, Decision, Event, Part, Verdict};
pub use files::FileSet;
pub use queue::Totals;

use queue::Queue;
use record::Format;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Every system call of `Audit::record`, of the writer and of `Audit::finish`, by name: those that write, those that
/// wait, those of the allocator (none with PROT_EXEC), and those with which a thread of glibc ends. A debug build looks
/// at a descriptor with `fcntl` before it closes it.
pub const SYSCALLS: &[&str] = &[
    "write",
    "sendto",
    "pread64",
    "pwrite64",
    "lseek",
    "ftruncate",
    "flock",
    "futex",
    "clock_gettime",
    "brk",
    "mmap",
    "mremap",
    "munmap",
    "mprotect",
    "madvise",
    "close",
    "rt_sigprocmask",
    "sigaltstack",
    "exit",
];

/// What is tried as well, and may fail: a filter answers it with an errno and does not end the process for it. glibc's
/// allocator reads /proc/sys/vm/overcommit_memory when the memory of a thread shrinks for the first time
/// (`check_may_shrink_heap`), and does without.
pub const ATTEMPTS: &[&str] = &["openat"];

/// How long a broker that just ends waits for a reader. It holds nobody else meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where records go.
#[derive(Debug)]
pub enum Sink {
    /// Files that several brokers may share, with rotation.
    Files(FileSet),
    /// A pipe, a socket, a terminal, or a file that someone else takes care of. Its reader may be slow, or go away. If
    /// the broker ends while one that is no packet socket takes a record, what was taken of the line stays.
    Descriptor(OwnedFd),
    /// What `journal::connect` gave.
    Journal(OwnedFd),
}

impl Sink {
    /// What has to stay open for it.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Sink::Files(files) => files.descriptors(),
            Sink::Descriptor(fd) | Sink::Journal(fd) => vec![fd.as_fd()],
        }
    }
}

/// The broker's way to its audit log. Threads share it by reference.
#[derive(Debug)]
pub struct Audit(Option<Open>);

#[derive(Debug)]
struct Open {
    queue: Arc<Queue>,
    format: Format,
}

impl Audit {
    /// Records nothing.
    pub const fn none() -> Audit {
        Audit(None)
    }

    /// Whether nothing is recorded.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Starts the writer, of the process that calls: a fork has none.
    ///
    /// # Errors
    /// No thread can be made, or the descriptor is none.
    pub fn start(sink: Sink) -> std::io::Result<Audit> {
        let format = if matches!(sink, Sink::Journal(_)) { Format::Journal } else { Format::Json };
        let queue = Arc::new(Queue::new(format, std::process::id()));
        writer::start(sink, queue.clone())?;
        Ok(Audit(Some(Open { queue, format })))
    }

    /// Records an event, with the time. Never waits for the sink, and never fails.
    pub fn record(&self, event: &Event<'_>) {
        if let Some(open) = &self.0
            && open.queue.admits()
        {
            open.queue.push(open.format.encode(event));
        }
    }

    /// Ends the log: takes no more records, and waits at most `patience` for those that it took. What is not written
    /// by then counts as dropped, and the writer is left behind if its reader holds it.
    pub fn finish(mut self, patience: Duration) -> Totals {
        self.0.take().map_or_else(Totals::default, |open| open.queue.finish(patience))
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.queue.finish(PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests;
