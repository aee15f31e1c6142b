//! Proof that a freshly cloned process does not allocate: an allocator that ends it if it does.
//!
//! A clone of a process with threads may have been taken while another thread held the allocator's lock, which nobody
//! gives back then (fork(2), "async-signal-safe"). The debug build's allocator is this one, so that every test that runs
//! the binary is a test of that. It sees what Rust code does; C's own malloc it does not, which nothing that a child calls
//! comes to.

use crate::process::exit;
use std::alloc::{GlobalAlloc, Layout, System};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a process that the guard has ended.
pub const CAUGHT: u8 = 254;

static ARMED: AtomicBool = AtomicBool::new(false);

/// From now on this process, and what is cloned of it, neither allocates nor frees. `process::clone` says so in every
/// child, so that no way to exec can forget it. Without effect where [`Guarded`] is not the allocator, and in release
/// builds.
pub fn forbid_allocation() {
    if cfg!(debug_assertions) {
        ARMED.store(true, Ordering::Relaxed);
    }
}

/// The system's allocator until [`forbid_allocation`].
#[derive(Debug, Clone, Copy)]
pub struct Guarded;

fn check() {
    if ARMED.load(Ordering::Relaxed) {
        // It ends all the same.
        let _ = crate::fd::write_all(
            std::io::stderr().as_fd(),
            b"zviz: bug: memory was allocated between clone and exec\n",
        );
        exit(i32::from(CAUGHT));
    }
}

// SAFETY: every call goes to System as it came, or does not return; so System's promises are these.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller keeps alloc's contract, which is System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check();
        // SAFETY: as above; what this allocator gave came from System.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller keeps alloc_zeroed's contract, which is System's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check();
        // SAFETY: as for dealloc.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
