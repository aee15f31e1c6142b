//! Numbers with units: bytes, processors, time.

use std::time::Duration;

/// (suffix, factor). `K`, `M`, ... are powers of 1024, as they are for Docker and systemd; the `i` may be written.
const BYTES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("K", 1 << 10),
    ("KI", 1 << 10),
    ("KB", 1 << 10),
    ("KIB", 1 << 10),
    ("M", 1 << 20),
    ("MI", 1 << 20),
    ("MB", 1 << 20),
    ("MIB", 1 << 20),
    ("G", 1 << 30),
    ("GI", 1 << 30),
    ("GB", 1 << 30),
    ("GIB", 1 << 30),
    ("T", 1 << 40),
    ("TI", 1 << 40),
    ("TB", 1 << 40),
    ("TIB", 1 << 40),
];

/// (suffix, milliseconds).
const TIMES: &[(&str, u64)] = &[("ms", 1), ("", 1000), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A number of bytes: `1073741824`, `512M`, `1.5Gi`.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = unit(text)?;
    let unit = unit.to_ascii_uppercase();
    let Some((_, factor)) = BYTES.iter().find(|(suffix, _)| *suffix == unit) else {
        return Err(format!("unknown unit {unit:?}: K, M, G or T, or none for bytes"));
    };
    if *factor == 1 && number.contains('.') {
        return Err("is a part of a byte: is a unit missing?".into());
    }
    scaled(number, *factor)
}

/// Thousandths of a processor: `2`, `0.5`.
///
/// # Errors
/// What is wrong with it.
pub fn millicpus(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
}

/// A time: `30`, `30s`, `1.5m`, `2h`, `250ms`, and several with units, as Go writes them: `1m30s`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    loop {
        let (number, after) = unit(rest)?;
        let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let only = rest.len() == text.len() && next.is_empty();
        let known = TIMES.iter().find(|(suffix, _)| *suffix == unit && (only || !unit.is_empty()));
        let Some((_, factor)) = known else {
            return Err(format!("unknown unit {unit:?}: ms, s, m, h or d, or none for seconds"));
        };
        let part = Duration::from_millis(scaled(number, *factor)?);
        total = total.checked_add(part).ok_or("is too long")?;
        if next.is_empty() {
            return Ok(total);
        }
        rest = next;
    }
}

/// A plain whole number.
///
/// # Errors
/// What is wrong with it.
pub fn count(text: &str) -> Result<u64, String> {
    scaled(text, 1)
}

fn unit(text: &str) -> Result<(&str, &str), String> {
    match text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()) {
        0 => Err("is not a number".into()),
        end => Ok(text.split_at(end)),
    }
}

/// A decimal number, times `factor`, exactly: no floating point, no sign, no exponent; rounded down, zero refused.
fn scaled(number: &str, factor: u64) -> Result<u64, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return Err("is not a number".into());
    }
    if fraction.len() > 9 {
        return Err("has more than nine digits after the point".into());
    }
    let too_large = || "is too large".to_owned();
    let unit = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| too_large())?);
    let all: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
    let value = all.checked_mul(u128::from(factor)).ok_or_else(too_large)? / unit;
    // Every user of these numbers stores them in a signed 64-bit field (config-linux.md).
    match i64::try_from(value) {
        Ok(0) => Err("must be more than zero".into()),
        Ok(value) => Ok(value.unsigned_abs()),
        Err(_) => Err(too_large()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_every_spelling() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("1k"), Ok(1024));
        assert_eq!(bytes("512M"), Ok(512 << 20));
        assert_eq!(bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
    }

    #[test]
    fn bad_bytes_say_why() {
        assert_eq!(bytes("12Q"), Err("unknown unit \"Q\": K, M, G or T, or none for bytes".into()));
        assert_eq!(bytes(""), Err("is not a number".into()));
        assert_eq!(bytes("-1"), Err("is not a number".into()));
        assert_eq!(bytes("0"), Err("must be more than zero".into()));
        assert_eq!(bytes("1.5"), Err("is a part of a byte: is a unit missing?".into()));
        assert_eq!(bytes("1..2M"), Err("is not a number".into()));
        assert_eq!(bytes("99999999999T"), Err("is too large".into()));
        assert_eq!(bytes("9999999999999999999999999999999999999999999"), Err("is too large".into()));
    }

    #[test]
    fn processors_and_times() {
        assert_eq!(millicpus("0.5"), Ok(500));
        assert_eq!(millicpus("2"), Ok(2000));
        assert!(millicpus("two").is_err());
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h0.5m250ms"), Ok(Duration::from_millis(3_630_250)));
        for wrong in ["7y", "1m30", "30 s", "1m-30s", "m", "1m30y", "999999999999999d999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(count("12"), Ok(12));
        assert!(count("12k").is_err());
    }
}
