//! What a container's annotations ask for: `zviz.io/...`. They can only tighten what holds without them.

use crate::plan::Problems;
use std::collections::BTreeMap;
use zviz_profile::{nearest, quantity};

/// What is before every one of ours.
pub const PREFIX: &str = "zviz.io/";

/// Those that there are.
pub const KNOWN: &[&str] = &["profile", "audit", "strict-mode", "network-policy", "timeout", "broker-timeout"];

/// What is said instead of a profile's name: no network at all.
pub const NO_NETWORK: &str = "none";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// A profile by name.
    pub profile: Option<String>,
    /// The broker's decisions are recorded.
    pub audit: bool,
    /// What a profile calls optional is required.
    pub strict: bool,
    /// A profile whose section about the network holds as well, or [`NO_NETWORK`].
    pub network: Option<String>,
    /// Milliseconds after which everything inside is killed.
    pub timeout: Option<u64>,
    /// Milliseconds after which a call that the broker serves fails.
    pub broker_timeout: Option<u32>,
}

impl Annotations {
    /// Reads those that are ours; those of others are theirs.
    ///
    /// # Errors
    /// One that is unknown, with what may have been meant; a value that cannot be.
    pub fn read(given: &BTreeMap<String, String>) -> Result<Annotations, Problems> {
        let mut problems = Problems::default();
        let mut asked = Annotations::default();
        for (key, value) in given {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if let Err(why) = asked.take(name, value) {
                problems.add(format!("annotations[{key}]"), why);
            }
        }
        problems.or(asked)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "profile" => self.profile = Some(profile(value)?),
            "audit" => self.audit = flag(value)?,
            "strict-mode" => self.strict = flag(value)?,
            "network-policy" => self.network = Some(profile(value)?),
            "timeout" => self.timeout = Some(milliseconds(value)?),
            "broker-timeout" => {
                let number = value.parse().ok().filter(|number| (1..=u32::MAX).contains(number));
                self.broker_timeout = Some(number.ok_or("wants milliseconds, at least 1")?);
            }
            _ => {
                let meant = nearest(name, KNOWN.iter().copied());
                let help = meant.map_or_else(
                    || format!("there are {}", KNOWN.join(", ")),
                    |meant| format!("did you mean {PREFIX}{meant}?"),
                );
                return Err(format!("is unknown ({help})"));
            }
        }
        Ok(())
    }
}

/// The same letters as in a name within a profile: none leads to another folder.
fn profile(value: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = value.starts_with(|first: char| first.is_ascii_alphanumeric()) && value.chars().all(plain);
    if !is_name || value.contains("..") || value.len() > 64 {
        return Err(format!("{value:?} is no name of a profile: letters, digits, '.', '_' and '-'"));
    }
    Ok(value.to_owned())
}

fn flag(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("must be true or false, not {value:?}"))
}

fn milliseconds(value: &str) -> Result<u64, String> {
    let time = quantity::duration(value).map_err(|why| format!("{value:?} {why}"))?;
    let time = u64::try_from(time.as_millis()).ok().filter(|time| *time > 0);
    time.ok_or_else(|| "is too short".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Annotations, String> {
        let given = list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Annotations::read(&given).map_err(|problems| problems.to_string())
    }

    #[test]
    fn ours_are_read_and_others_left() {
        let asked = read(&[
            ("io.kubernetes.pod", "x"),
            ("zviz.io/profile", "ci-runner"),
            ("zviz.io/audit", "true"),
            ("zviz.io/strict-mode", "false"),
            ("zviz.io/network-policy", "none"),
            ("zviz.io/timeout", "90s"),
            ("zviz.io/broker-timeout", "250"),
        ]);
        let expected = Annotations {
            profile: Some("ci-runner".into()),
            audit: true,
            strict: false,
            network: Some("none".into()),
            timeout: Some(90_000),
            broker_timeout: Some(250),
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(read(&[("zviz.iox", "1"), ("a", "b")]), Ok(Annotations::default()));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_name() {
        for (key, value, expected) in [
            ("zviz.io/profil", "x", "annotations[zviz.io/profil]: is unknown (did you mean zviz.io/profile?)"),
            ("zviz.io/xyzzy", "x", "is unknown (there are profile, audit"),
            ("zviz.io/", "x", "is unknown"),
            ("zviz.io/profile", "../x", "is no name of a profile"),
            ("zviz.io/profile", "/etc/x", "is no name of a profile"),
            ("zviz.io/profile", "a/b", "is no name of a profile"),
            ("zviz.io/profile", "a..b", "is no name of a profile"),
            ("zviz.io/profile", "", "is no name of a profile"),
            ("zviz.io/network-policy", "x/..", "is no name of a profile"),
            ("zviz.io/audit", "yes", "must be true or false, not \"yes\""),
            ("zviz.io/strict-mode", "", "must be true or false"),
            ("zviz.io/timeout", "5 parsecs", "annotations[zviz.io/timeout]: "),
            ("zviz.io/timeout", "0", "annotations[zviz.io/timeout]: "),
            ("zviz.io/broker-timeout", "0", "wants milliseconds"),
            ("zviz.io/broker-timeout", "-1", "wants milliseconds"),
        ] {
            let said = read(&[(key, value)]).unwrap_err();
            assert!(said.contains(expected), "{key}={value}: {said}");
        }
    }
}
