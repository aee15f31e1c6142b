//! The guard ends a process that allocates or frees after it promised not to, and no other.
#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used)] // a test may

use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::guard::{CAUGHT, Guarded, forbid_allocation};
use zviz_sys::process::{Cloned, clone, exit, pidfd_open};
use zviz_sys::wait;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// What a child does, with a vector that its parent has made.
type Act = fn(&mut Vec<u8>);

const ACTS: [(&str, Act); 4] = [
    ("alloc", |_| drop(black_box(Box::new(7)))),
    ("alloc_zeroed", |_| std::mem::forget(black_box(vec![0u8; 100]))),
    ("realloc", |vector| vector.reserve_exact(black_box(10_000))),
    ("dealloc", |vector| drop(black_box(std::mem::take(vector)))),
];

/// How the child of a fork(3), which keeps malloc usable in a process with threads, ends.
fn forked(promises: bool, act: Act) -> u8 {
    let mut vector = vec![7; 10];
    // SAFETY: the child allocates at most, which glibc's fork allows, and ends without running a destructor.
    let pidfd = match unsafe { libc::fork() } {
        0 => {
            if promises {
                forbid_allocation();
            }
            act(&mut vector);
            exit(0)
        }
        pid => pidfd_open(pid).unwrap(),
    };
    end(pidfd)
}

/// How a child as the runtime makes them ends.
fn cloned(act: Act) -> u8 {
    let mut vector = vec![7; 10];
    match clone(0, None).unwrap() {
        Cloned::Child => {
            act(&mut vector);
            exit(0)
        }
        Cloned::Parent { pidfd, .. } => end(pidfd),
    }
}

fn end(pidfd: OwnedFd) -> u8 {
    wait::wait(pidfd.as_fd()).unwrap().status()
}

#[test]
fn who_allocates_or_frees_is_caught() {
    assert_eq!((forked(true, |_| ()), cloned(|_| ())), (0, 0), "control: it is the use that ends it");
    for (name, act) in ACTS {
        assert_eq!(forked(false, act), 0, "{name}, control: it is the promise that ends it");
        assert_eq!(forked(true, act), CAUGHT, "{name}");
        assert_eq!(cloned(act), CAUGHT, "{name}");
    }
}
