//! Cases that share what is slow to start. Each is a function; all run, and the test fails with the list of those that
//! failed. `ZVIZ_CASES=exec,limits::ulimit` runs only those with one of these words in their name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Runs the functions, each given the first argument.
macro_rules! cases {
    ($shared:expr, $($case:path),+ $(,)?) => {
        $crate::cases::run($shared, &[$((stringify!($case), $case as fn(&_))),+])
    };
}

/// A name and a function.
type Case<'a, T> = (&'a str, fn(&T));

pub fn run<T>(shared: &T, cases: &[Case<'_, T>]) {
    let only = std::env::var("ZVIZ_CASES").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|word| name.contains(word));
    let mut failed = Vec::new();
    for (name, case) in cases.iter().filter(|(name, _)| wanted(name)) {
        let begin = Instant::now();
        // What is shared is a program elsewhere: a case that failed has left no half-changed value behind.
        let outcome = catch_unwind(AssertUnwindSafe(|| case(shared)));
        println!("{name}: {} ({:.1} s)", if outcome.is_ok() { "ok" } else { "FAILED" }, begin.elapsed().as_secs_f32());
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), cases.len(), failed.join(", "));
}
