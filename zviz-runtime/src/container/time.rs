//! Times as RFC 3339 text, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zviz_broker::audit::time::date_time;

/// Now, with nanoseconds, trailing zeros left out: `2026-11-21T00:38:15.120034Z`, as runc writes it.
pub fn now_nanos() -> String {
    nanos(since_epoch())
}

/// Now, in whole seconds: `2026-11-21T00:38:15Z`, as a line of a log has it.
pub fn now_seconds() -> String {
    seconds(since_epoch())
}

fn since_epoch() -> Duration {
    // A clock before 1970 is not worth failing for.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanos(since: Duration) -> String {
    let mut text = date_time(since);
    let fraction = since.subsec_nanos();
    if fraction > 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

fn seconds(since: Duration) -> String {
    date_time(since) + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_221_495, "2026-11-21T00:38:15Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(seconds(Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn a_fraction_has_no_trailing_zeros() {
        assert_eq!(nanos(Duration::new(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(nanos(Duration::new(0, 120_034_000)), "1970-01-01T00:00:00.120034Z");
        assert_eq!(nanos(Duration::new(0, 7)), "1970-01-01T00:00:00.000000007Z");
    }
}
