//! What can leave in the names below a wildcard.
//!
//! Whoever may ask for `*.example.org` may spell a secret in the name, and where strangers rent names below example.org, as
//! they do at clouds, one of them may read it. No rule tells such a name from others for certain, so each name is charged
//! with the bits that it could carry, and the account is small:
//!
//! - A name that fits none of the shapes of hosts is refused: other characters than letters, digits, `-` and `_`; more than
//!   [`LONGEST_BELOW`] bytes or [`MOST_LABELS_BELOW`] labels below the wildcard (the longest of ordinary use are buckets, 63
//!   bytes, before a region's name); more than [`MOST_BITS`] bits by the Shannon entropy of its characters, or
//!   [`MOST_BITS_OF_LABEL`] in one label (a digest of 40 hexadecimal digits with some words around it passes, a full label of
//!   base32 does not).
//! - A name that is not known costs its bits, at least [`LEAST_BITS`]; one that is costs [`LEAST_BITS`], since which of some
//!   names is asked for says something as well; and one of the last five seconds [`AGAIN_BITS`], for its other types of
//!   records. The account holds [`BITS`] and fills by [`BITS_PER_SECOND`]: some 160 names of ordinary length at once, as a
//!   browser or a package manager asks for, and then 8 bytes a second, which makes a gigabyte a matter of years.
//! - [`NAMES`] new names at once and [`NAMES_PER_SECOND`] after that; [`QUERIES`] questions at once and
//!   [`QUERIES_PER_SECOND`] after that.
//!
//! Only what leaves is charged: an answer from the cache costs nothing. Names that an entry spells out are free.

use crate::name::Name;
use crate::step::Why;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most bytes below a wildcard, borders of labels among them.
pub const LONGEST_BELOW: usize = 100;
/// The most labels below a wildcard.
pub const MOST_LABELS_BELOW: usize = 6;
/// The most bits of one name.
pub const MOST_BITS: f64 = 320.0;
/// The most bits of one label.
pub const MOST_BITS_OF_LABEL: f64 = 256.0;
/// The fewest bits of a character.
const LEAST_BITS_OF_CHARACTER: f64 = 3.0;
/// The fewest bits that a question is charged with.
pub const LEAST_BITS: f64 = 8.0;
/// What one of the last seconds costs.
pub const AGAIN_BITS: f64 = 2.0;
/// How long that is.
const AGAIN: Duration = Duration::from_secs(5);
/// Bits at once.
pub const BITS: f64 = 8192.0;
/// Bits in a second after that.
pub const BITS_PER_SECOND: f64 = 64.0;
/// New names at once.
pub const NAMES: f64 = 120.0;
/// New names in a second after that.
pub const NAMES_PER_SECOND: f64 = 2.0;
/// Questions at once.
pub const QUERIES: f64 = 200.0;
/// Questions in a second after that.
pub const QUERIES_PER_SECOND: f64 = 20.0;
/// How many names are remembered.
const REMEMBERED: usize = 1024;

/// The accounts of one container.
#[derive(Debug)]
pub(crate) struct Limits {
    bits: Account,
    names: Account,
    queries: Account,
    known: HashMap<Name, Instant>,
}

#[derive(Debug)]
struct Account {
    holds: f64,
    most: f64,
    per_second: f64,
    as_of: Instant,
}

impl Account {
    fn new(now: Instant, most: f64, per_second: f64) -> Account {
        Account { holds: most, most, per_second, as_of: now }
    }

    fn has(&mut self, now: Instant, cost: f64) -> bool {
        let elapsed = now.saturating_duration_since(self.as_of).as_secs_f64();
        self.as_of = self.as_of.max(now);
        self.holds = (self.holds + elapsed * self.per_second).min(self.most);
        self.holds >= cost
    }
}

impl Limits {
    pub(crate) fn new(now: Instant) -> Limits {
        Limits {
            bits: Account::new(now, BITS, BITS_PER_SECOND),
            names: Account::new(now, NAMES, NAMES_PER_SECOND),
            queries: Account::new(now, QUERIES, QUERIES_PER_SECOND),
            known: HashMap::new(),
        }
    }

    /// Whether a question for a name of which so many labels are the program's choice may leave, and if so charges it.
    pub(crate) fn charge(&mut self, now: Instant, name: &Name, chosen: usize) -> Result<(), Why> {
        let bits = shape(name, chosen)?;
        let last = self.known.get(name);
        let new = last.is_none();
        let cost = match last {
            None => bits.max(LEAST_BITS),
            Some(last) if now.saturating_duration_since(*last) < AGAIN => AGAIN_BITS,
            Some(_) => LEAST_BITS,
        };
        let names = if new { 1.0 } else { 0.0 };
        // All are asked, so that each is brought up to now.
        let enough = [self.bits.has(now, cost), self.names.has(now, names), self.queries.has(now, 1.0)];
        if enough.contains(&false) {
            return Err(Why::Often);
        }
        self.bits.holds -= cost;
        self.names.holds -= names;
        self.queries.holds -= 1.0;
        if new && self.known.len() >= REMEMBERED {
            let oldest = self.known.iter().min_by_key(|(_, when)| **when).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(name.clone(), now);
        Ok(())
    }
}

/// The bits that the labels of a program's choice could carry: together, since many short labels carry as much as a long one.
fn shape(name: &Name, chosen: usize) -> Result<f64, Why> {
    let below: Vec<&[u8]> = name.labels().take(chosen).collect();
    let length = below.iter().map(|label| label.len() + 1).sum::<usize>();
    let of_hosts = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if length > LONGEST_BELOW || chosen > MOST_LABELS_BELOW || !below.iter().all(|label| label.iter().all(of_hosts)) {
        return Err(Why::Long);
    }
    let bits = entropy(&below.concat());
    let dense = bits > MOST_BITS || below.iter().any(|label| entropy(label) > MOST_BITS_OF_LABEL);
    if dense { Err(Why::Dense) } else { Ok(bits) }
}

/// The Shannon entropy of the characters, times their number. In bits. Of a few characters, each of which is there once, that is
/// much too little, so that none counts less than [`LEAST_BITS_OF_CHARACTER`].
fn entropy(characters: &[u8]) -> f64 {
    let mut counts = [0_u8; 256];
    for byte in characters {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u8::try_from(characters.len()).unwrap_or(u8::MAX));
    let of_one = |count: &u8| f64::from(*count) * (total / f64::from(*count)).log2();
    let entropy: f64 = counts.iter().filter(|count| **count > 0).map(of_one).sum();
    entropy.max(total * LEAST_BITS_OF_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::of_text(text).unwrap()
    }

    #[test]
    fn names_of_ordinary_hosts_pass() {
        for (text, chosen) in [
            ("d111111abcdef8.cloudfront.net", 1),
            ("docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com", 2),
            ("my-company-artifacts-eu-west-1.s3.dualstack.eu-west-1.amazonaws.com", 4),
            ("r4---sn-4g5e6nsz.googlevideo.com", 1),
            ("a1b2c3d4e5f60718293a4b5c6d7e8f90-1234567890.us-east-1.elb.amazonaws.com", 3),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709.example.org", 1),
            ("_mongodb._tcp.cluster0.ab1cd.mongodb.net", 4),
            ("my-company-production-artifacts-eu-central-1.s3.dualstack.eu-central-1.amazonaws.com", 4),
            ("web-frontend-git-feature-login-page-some-team-name.vercel.app", 1),
        ] {
            let mut limits = Limits::new(Instant::now());
            assert_eq!(limits.charge(Instant::now(), &name(text), chosen), Ok(()), "{text}");
        }
    }

    #[test]
    fn names_that_carry_data_do_not() {
        let base32 = "mzxw6ytboi4dsnzqgq2tmnbvgiydambqgaydambrgizdgnbvgy3tqojqmfrgg";
        for (text, chosen, why) in [
            (format!("{base32}.example.org"), 1, Why::Dense),
            (format!("{}.{}.example.org", &base32[..40], &base32[20..]), 2, Why::Dense),
            (format!("{}.{}.example.org", "a".repeat(60), "b".repeat(60)), 2, Why::Long),
            ("a.b.c.d.e.f.g.example.org".to_owned(), 7, Why::Long),
            ("a\u{e9}.example.org".to_owned(), 1, Why::Long),
            ("a b.example.org".to_owned(), 1, Why::Long),
        ] {
            assert_eq!(Limits::new(Instant::now()).charge(Instant::now(), &name(&text), chosen), Err(why), "{text}");
        }
    }

    #[test]
    fn short_labels_are_not_cheap() {
        // What six labels of three characters could carry: 5.2 bits each.
        let bits = shape(&name("a1z.b2y.c3x.d4w.e5v.f6u.example.org"), 6).unwrap();
        assert!((72.0..94.0).contains(&bits), "{bits}");
        assert!(shape(&name("a.b.c.d.e.f.example.org"), 6).unwrap() >= 18.0);
    }

    #[test]
    fn little_leaves_in_an_hour() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        let mut left = 0.0;
        for i in 0..36_000_u64 {
            let now = start + Duration::from_millis(i * 100);
            let text = name(&format!("{:016x}.example.org", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            if limits.charge(now, &text, 1).is_ok() {
                left += 64.0;
            }
        }
        // An hour of trying: the account, and what it fills by. The estimate of a random name may be a little low.
        assert!(left < (BITS + 3600.0 * BITS_PER_SECOND) * 1.5, "{left}");
        assert!(limits.known.len() <= REMEMBERED);
    }

    #[test]
    fn a_busy_program_passes() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        // A page with 60 hosts, each asked for three types at once; then the same ones every 20 seconds for an hour.
        for round in 0..180 {
            let now = start + Duration::from_secs(round * 20);
            for host in 0..60 {
                for _ in 0..3 {
                    let spelled = name(&format!("static-{host}.assets.example.org"));
                    assert_eq!(limits.charge(now, &spelled, 2), Ok(()), "round {round} host {host}");
                }
            }
        }
    }
}
