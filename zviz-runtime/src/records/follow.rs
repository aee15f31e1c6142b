//! Records of a container while it runs, read in a thread of its own: those of a whole machine come, and few are its.

use super::{Kept, Sieve, Socket, Whose};
use nix::errno::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long others' records are read that come in between.
const PATIENCE: Duration = Duration::from_millis(500);

/// A reader.
#[derive(Debug)]
pub struct Following {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Kept>,
}

/// Reads what comes from the time on that the socket was opened.
///
/// # Errors
/// Those of starting a thread.
pub fn follow(socket: Socket, whose: Whose) -> std::io::Result<Following> {
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    let read = move || {
        let mut sieve = Sieve::new(whose);
        let (mut lost, mut deadline) = (0_u64, None);
        loop {
            if deadline.is_none() && ended.load(Ordering::Acquire) {
                deadline = Some(Instant::now() + PATIENCE);
            }
            match socket.next() {
                Ok(entry) => entry.into_iter().for_each(|entry| sieve.take(entry)),
                Err(Errno::EAGAIN) if deadline.is_some() => break,
                Err(Errno::EAGAIN) => {}
                // Whose they were nobody knows.
                Err(Errno::ENOBUFS) => lost += 1,
                // What comes from here on nobody hears.
                Err(_) => {
                    lost += 1;
                    break;
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
        }
        let mut kept = sieve.end();
        kept.left_out = kept.left_out.saturating_add(lost);
        kept
    };
    let thread = thread::Builder::new().name("zviz-records".into()).spawn(read)?;
    Ok(Following { end, thread })
}

impl Following {
    /// What there was, when the container has ended.
    #[must_use]
    pub fn finish(self) -> Kept {
        self.end.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}
