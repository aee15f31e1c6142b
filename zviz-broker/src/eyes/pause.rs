//! A container that is stopped while calls of it are held.
//!
//! A caller whose call was received sleeps until it is answered, and nothing but its death ends that: no freezer stops it
//! before, and `pause` would wait in vain for a call that waits for somebody. So the call is taken back: it fails with the number
//! by which the kernel itself takes back a system call that it wants to begin again, ERESTARTNOINTR. The thread is
//! stopped on its way out, and calls once more when it goes on.

use super::log::Answered;
use super::serve::Stage;
use super::{Eyes, WAKE};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use zviz_sys::notify;

/// What tells that the container is being stopped.
#[derive(Debug)]
pub(crate) struct Pause {
    /// `cgroup.freeze` of version 2, `freezer.state` of version 1.
    file: Option<File>,
    /// It did so the last time.
    told: bool,
}

impl Pause {
    pub(crate) fn new(file: Option<File>) -> Self {
        Pause { file, told: false }
    }

    /// Whether every thread of the container is told to stop by now: the kernel does that a moment after the file says it, and
    /// a thread that was not would see the number.
    fn is_on(&mut self) -> bool {
        let mut text = [0u8; 16];
        let length = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or_default();
        let tells = matches!(text.get(..length), Some(b"1\n" | b"FREEZING\n" | b"FROZEN\n"));
        let before = std::mem::replace(&mut self.told, tells);
        self.told && before
    }
}

impl Eyes {
    /// Holds no call that waits for somebody while the container is stopped. Looked at from time to time.
    pub(super) fn let_stop(&mut self) {
        if self.pending.is_empty() || !self.pause.is_on() {
            return;
        }
        let ids: Vec<u64> = self.pending.keys().copied().collect();
        for id in ids {
            let asked = self.asker.is_asked(id);
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            match pending.stage {
                Stage::Working if asked => {
                    // Nothing is done before the answer.
                    let _ = self.crew.end(id);
                    self.begin_again(id);
                }
                // What has begun to do something says how far it came. What is done in a moment is not disturbed.
                Stage::Working => pending.interrupted |= self.crew.interrupt(id, WAKE),
                Stage::Loading => {}
                Stage::Asked | Stage::Passed(_) | Stage::Unknown | Stage::Waiting { .. } => self.begin_again(id),
            }
        }
    }

    /// The caller is to call again.
    pub(super) fn begin_again(&mut self, id: u64) {
        if let Some(pending) = self.pending.remove(&id) {
            self.asker.forget(id);
            let _ = notify::restart(self.listener.as_fd(), id);
            self.log.answered(&pending.call, Answered::Gone);
        }
    }

    /// Whether that is what became of a call.
    pub(super) fn was_interrupted(&self, id: u64, errno: Errno) -> bool {
        errno == Errno::EINTR && self.pending.get(&id).is_some_and(|pending| pending.interrupted)
    }
}
