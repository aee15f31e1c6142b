//! `ociVersion`: a semantic version whose major number is ours.

use crate::plan::Problems;
use serde_json::Value;

/// config.md, "Specification version": REQUIRED, in SemVer 2.0.0 form. Minor versions only add.
pub(super) fn check(raw: &Value, problems: &mut Problems) {
    match raw.get("ociVersion") {
        None => problems.add("ociVersion", "is required"),
        Some(Value::String(version)) => match major(version) {
            Some(1) => {}
            Some(_) => {
                problems.add("ociVersion", format!("version {version:?} is not supported: this is a 1.x runtime"))
            }
            None => problems.add("ociVersion", format!("{version:?} is not a semantic version")),
        },
        // Its type is wrong, which the typed form reports.
        Some(_) => {}
    }
}

/// The first of three numbers; a pre-release or build may follow the third.
fn major(version: &str) -> Option<u64> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
    match numbers[..] {
        [major, _, _] => Some(major),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors() {
        for (version, want) in [
            ("1.0.2", Some(1)),
            ("1.0.2-dev", Some(1)),
            ("1.2.1+build.5", Some(1)),
            ("2.0.0", Some(2)),
            ("1.0", None),
            ("1.0.x", None),
            ("01.0.0", None),
            ("", None),
            ("1..0", None),
        ] {
            assert_eq!(major(version), want, "{version}");
        }
    }
}
