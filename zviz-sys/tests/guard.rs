//! The guard ends a process that allocates after it promised not to, and no other.
#![allow(clippy::unwrap_used)]

use std::os::fd::AsFd;
use zviz_sys::guard::{CAUGHT, Guarded, forbid_allocation};
use zviz_sys::process::{Cloned, clone, exit};
use zviz_sys::wait;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// How a child ends that does this.
fn child(act: fn()) -> u8 {
    match clone(0, None).unwrap() {
        Cloned::Child => {
            act();
            exit(0)
        }
        Cloned::Parent { pidfd, .. } => wait::wait(pidfd.as_fd()).unwrap().status(),
    }
}

fn allocate() {
    std::hint::black_box(Box::new(7));
}

#[test]
fn who_allocates_is_caught() {
    assert_eq!(child(allocate), 0, "control");
    assert_eq!(child(forbid_allocation), 0, "control");
    let both = || {
        forbid_allocation();
        allocate();
    };
    assert_eq!(child(both), CAUGHT);
    let freed = || {
        let held = Box::new(7);
        forbid_allocation();
        drop(std::hint::black_box(held));
    };
    assert_eq!(child(freed), CAUGHT);
}
