//! The profiles that zviz brings along. They are files like everybody's.

use super::Profile;
use super::hashed::Hashed;
use super::lower::{Context, lower};
use zviz_profile::{Document, Faults, Text};

/// The text of each, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("agent", include_str!("../../../profiles/agent.yaml")),
    ("ask", include_str!("../../../profiles/ask.yaml")),
    ("batch-job", include_str!("../../../profiles/batch-job.yaml")),
    ("ci-runner", include_str!("../../../profiles/ci-runner.yaml")),
    ("database", include_str!("../../../profiles/database.yaml")),
    ("default", include_str!("../../../profiles/default.yaml")),
    ("development", include_str!("../../../profiles/development.yaml")),
    ("hostile-tenant", include_str!("../../../profiles/hostile-tenant.yaml")),
    ("minimal", include_str!("../../../profiles/minimal.yaml")),
    ("nested", include_str!("../../../profiles/nested.yaml")),
    ("virtualised", include_str!("../../../profiles/virtualised.yaml")),
    ("web-server", include_str!("../../../profiles/web-server.yaml")),
];

/// The text of one.
#[must_use]
pub fn text(name: &str) -> Option<Text> {
    let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Text { file: format!("built-in {name}"), text: (*text).to_owned() })
}

/// The profile of whoever asks for none. What most sandboxes have is not read each time.
#[must_use]
pub fn default() -> Profile {
    Profile { texts: text("default").iter().map(Hashed::of).collect(), ..Profile::default() }
}

/// As a document.
///
/// # Errors
/// None of those that are here has a fault.
pub fn document(name: &str) -> Option<Result<Document, Faults>> {
    Some(zviz_profile::read(&text(name)?, &|other| text(other).ok_or(format!("there is no profile {other:?}"))))
}

impl Profile {
    /// A built-in profile; none if there is none of that name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Profile> {
        if name == "default" {
            // What most sandboxes have is not read each time.
            return Some(Profile::default());
        }
        let lowered = document(name)?.and_then(|document| lower(&document, &Context::default()));
        lowered.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_is_sound() {
        for (name, _) in BUILT_IN {
            let document = document(name).unwrap().unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(document.name.as_deref(), Some(*name));
            assert!(document.description.is_some(), "{name}");
            let profile = lower(&document, &Context::default()).unwrap_or_else(|faults| panic!("{faults}"));
            assert!(profile.notes.is_empty(), "{name}: {:?}", profile.notes);
            assert_eq!(profile.broker.faults(), [], "{name}");
        }
        assert_eq!(Profile::built_in("nobody"), None);
    }

    #[test]
    fn the_default_is_what_its_file_says() {
        let document = document("default").unwrap().unwrap();
        let mut read = lower(&document, &Context::default()).unwrap();
        assert!(read.calls.beyond_default().is_empty() && !read.calls.listed_only);
        read.calls = Default::default();
        assert_eq!(read, Profile::default());
    }

    #[test]
    fn every_rule_has_a_reason_beside_it() {
        for (name, text) in BUILT_IN {
            let mut section = None;
            let mut reasoned = true;
            for line in text.lines().chain(["end:"]) {
                let indented = line.starts_with(' ');
                if !indented && line.ends_with(':') {
                    assert!(reasoned, "{name}: {section:?} has no reason");
                    (section, reasoned) = (Some(line), false);
                }
                reasoned |= line.trim_start().starts_with('#');
            }
        }
    }
}
