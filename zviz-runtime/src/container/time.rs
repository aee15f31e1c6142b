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

/// The milliseconds since the epoch of such a text.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month @ 1..=12, day @ 1..=31], [hours, minutes, seconds]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    // Years begin in March, so that the day that is not always there is their last.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let leaps = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let days = year.checked_mul(365)?.checked_add(leaps)? + (month * 153 + 2) / 5 + day - 1;
    // From the first of March of the year 0 to the first of January of 1970.
    let days = days.checked_sub(719_468)?;
    let seconds = days.checked_mul(86_400)?.checked_add(hours * 3600 + minutes * 60 + seconds)?;
    let thousandths = fraction.get(..3).map_or(Some(0), |digits| digits.parse::<u64>().ok())?;
    seconds.checked_mul(1000)?.checked_add(thousandths)
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
            assert_eq!(milliseconds(text), Some(secs * 1000));
        }
    }

    #[test]
    fn a_fraction_has_no_trailing_zeros() {
        assert_eq!(nanos(Duration::new(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(nanos(Duration::new(0, 120_034_000)), "1970-01-01T00:00:00.120034Z");
        assert_eq!(nanos(Duration::new(0, 7)), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(milliseconds("1970-01-01T00:00:01.120034Z"), Some(1120));
        for wrong in ["", "Z", "T", "1970-01-01", "1970-01-01T00:00Z", "1969-12-31T23:59:59Z", "0-0-0T0:0:0Z"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
