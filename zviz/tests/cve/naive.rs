//! The same steps as a runtime does them that goes by paths: what the attacks of these tests succeed against.

use crate::support::{Bundle, run};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

impl Bundle {
    /// Runs a shell script in a mount namespace of its own, in the container's root as the host sees it, and gives what
    /// it printed.
    #[track_caller]
    pub fn naive(&self, script: &str) -> String {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(self.rootfs(""));
        run(&mut command).ok()
    }
}

/// Exchanges two names over and over for as long as `race` takes, as another container does in a volume of both.
pub fn swapping<T>(one: &Path, other: &Path, race: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let swap = || renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap();
            }
        });
        // Also when the race panics: the scope waits for the thread.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(race));
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
