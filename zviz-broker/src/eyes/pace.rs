//! Backpressure: callers wait anyway, so delay is the throttle.

use crate::policy::Pace;
use std::time::{Duration, Instant};

/// A token bucket. A token is a call.
pub(crate) struct Bucket {
    pace: Pace,
    /// Nanoseconds of credit: a call costs a second divided by the rate.
    credit: u64,
    filled: Instant,
}

const SECOND: u64 = 1_000_000_000;

impl Bucket {
    pub(crate) fn new(pace: Pace, now: Instant) -> Self {
        let mut bucket = Bucket { pace, credit: 0, filled: now };
        bucket.credit = bucket.most();
        bucket
    }

    fn cost(&self) -> u64 {
        (SECOND / u64::from(self.pace.calls_per_second.max(1))).max(1)
    }

    fn most(&self) -> u64 {
        self.cost().saturating_mul(u64::from(self.pace.burst.max(1)))
    }

    /// How long to wait before the next call may be taken; none if it may be now.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let passed = u64::try_from(now.duration_since(self.filled).as_nanos()).unwrap_or(u64::MAX);
        self.filled = now;
        self.credit = self.credit.saturating_add(passed).min(self.most());
        let missing = self.cost().saturating_sub(self.credit);
        (missing > 0).then(|| Duration::from_nanos(missing))
    }

    /// A call is taken.
    pub(crate) fn take(&mut self) {
        self.credit = self.credit.saturating_sub(self.cost());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_is_delayed() {
        let start = Instant::now();
        let pace = Pace { calls_per_second: 1000, burst: 10, ..Pace::default() };
        let mut bucket = Bucket::new(pace, start);
        for _ in 0..10 {
            assert_eq!(bucket.wait(start), None);
            bucket.take();
        }
        assert_eq!(bucket.wait(start), Some(Duration::from_millis(1)));
        let later = start + Duration::from_millis(1);
        assert_eq!(bucket.wait(later), None);
        bucket.take();
        assert!(bucket.wait(later).is_some());
        // However long nothing came, no more than the burst passes at once.
        let much_later = start + Duration::from_secs(100);
        let passed = (0..100)
            .take_while(|_| {
                bucket.wait(much_later).is_none() && {
                    bucket.take();
                    true
                }
            })
            .count();
        assert_eq!(passed, 10);
    }
    /// Four microseconds are the least that a call takes on fast machines: a switch to the broker and back.
    #[test]
    fn nobody_is_slowed_by_default() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Pace::default(), start);
        for call in 0..1_000_000 {
            assert_eq!(bucket.wait(start + call * Duration::from_micros(4)), None, "call {call}");
            bucket.take();
        }
    }
}
