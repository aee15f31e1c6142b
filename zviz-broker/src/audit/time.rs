//! Moments as RFC 3339 text, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in microseconds: `2026-11-21T00:38:15.120034Z`.
pub(super) fn now() -> String {
    // A clock before 1970 is not worth failing for.
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn micros(since_epoch: Duration) -> String {
    format!("{}.{:06}Z", date_time(since_epoch), since_epoch.subsec_micros())
}

/// The whole seconds, without a zone: `2026-11-21T00:38:15`. Days become a date of the Gregorian calendar, counted in
/// eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
pub fn date_time(since_epoch: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let (days, second) = (since_epoch.as_secs() / DAY, since_epoch.as_secs() % DAY);
    let from_march_of_year_0 = days + 719_468;
    let (era, day_of_era) = (from_march_of_year_0 / 146_097, from_march_of_year_0 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (secs, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, 1_000, "2000-03-01T00:00:00.000001Z"),
            (1_795_221_495, 120_034_000, "2026-11-21T00:38:15.120034Z"),
            (4_107_542_400, 999, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(micros(Duration::new(secs, nanos)), text);
        }
    }
}
