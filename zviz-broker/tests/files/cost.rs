//! What an opening by way of the broker costs, as a ratio to a native one, on one processor. Only run by name.

use super::{HERE, at, brokered};
use nix::sched::{CpuSet, sched_setaffinity};
use std::time::Instant;
use zviz_broker::policy::Policy;
use zviz_broker::policy::files::{Access, FileRule, Files, Reason, Verdict};

const BATCHES: usize = 200;
const CALLS: u32 = 100;

/// `cargo test --test files -- cost`
pub fn measure() {
    let mut processor = CpuSet::new();
    processor.set(0).unwrap();
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &processor).unwrap();
    let rule = |glob: &str| FileRule { glob: glob.into(), access: Access::Any, verdict: Verdict::Deny(Reason::Eacces) };
    let rules = vec![rule("/root/.ssh/**"), rule("/home/*/.ssh/**"), rule("**/.git/config")];
    let files = Some(Files { rules, ..Files::default() });
    let mut policy = Policy { files, ..Policy::default() };
    policy.pace.calls_per_second = 1_000_000;
    policy.pace.burst = 1_000_000;
    for _ in 0..2 {
        brokered::native(|| report("native"));
        brokered::run((policy.clone(), true), || report("brokered, one identity"));
        brokered::run((policy.clone(), false), || report("brokered, any identity"));
    }
}

fn report(what: &str) {
    let mut times: Vec<u128> = (0..BATCHES).map(|_| batch()).collect();
    times.sort_unstable();
    let each = |part: usize| times[times.len() * part / 100] / u128::from(CALLS);
    println!("{what}: open and close take {} ns (p10), {} ns (p50)", each(10), each(50));
}

fn batch() -> u128 {
    let start = Instant::now();
    for _ in 0..CALLS {
        drop(at(HERE, "/etc/hostname", 0, 0).unwrap());
    }
    start.elapsed().as_nanos()
}
