//! The lines of a profile: which key is written where, and what.

use crate::profile::artefacts::Manifest;
use serde::{Deserialize, Serialize};
use zviz_profile::Document;

/// A value of a profile, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// File and line.
    pub place: String,
    /// Such as `filesystem.writable[2]`.
    pub key: String,
    /// As it is written there; empty where the key alone is meant.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub value: String,
}

/// Every value of a profile, its own or inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    written: Vec<Origin>,
    home: Option<String>,
}

impl Rules {
    /// Those of a profile that was read. `home` is what `~` stands for.
    #[must_use]
    pub fn of_document(document: &Document, home: Option<String>) -> Rules {
        let origin = |(key, value, place): (String, &str, &zviz_profile::Place)| Origin {
            place: place.to_string(),
            key,
            value: value.to_owned(),
        };
        Rules { written: document.written().into_iter().map(origin).collect(), home }
    }

    /// Those of one that was compiled.
    #[must_use]
    pub fn of_manifest(manifest: &Manifest, home: Option<String>) -> Rules {
        let origin = |rule: &crate::profile::artefacts::Rule| Origin {
            place: rule.place.clone(),
            key: rule.key.clone(),
            value: rule.value.clone(),
        };
        Rules { written: manifest.rules.iter().map(origin).collect(), home }
    }

    /// Where a key is written; of a list, its first value.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<Origin> {
        let first = self.written.iter().find(|origin| is_of(&origin.key, key))?;
        Some(Origin { key: key.to_owned(), value: String::new(), ..first.clone() })
            .map(|origin| if first.key == key { first.clone() } else { origin })
    }

    /// The value of a list of which something holds.
    #[must_use]
    pub fn item(&self, list: &str, is: impl Fn(&str) -> bool) -> Option<Origin> {
        self.written.iter().find(|origin| is_of(&origin.key, list) && is(&origin.value)).cloned()
    }

    /// The path of a list, as it is inside.
    #[must_use]
    pub fn path(&self, list: &str, path: &str) -> Option<Origin> {
        self.item(list, |value| match (value.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) => format!("{}{rest}", home.trim_end_matches('/')) == path,
            _ => value.trim_end_matches('/') == path.trim_end_matches('/'),
        })
    }

    /// A rule as the broker's policy has it: `FILE:LINE: KEY`.
    #[must_use]
    pub fn told(&self, text: &str) -> Option<Origin> {
        let (place, key) = text.rsplit_once(": ")?;
        let (_, line) = place.rsplit_once(':')?;
        line.parse::<u32>().ok()?;
        let known = self.written.iter().find(|origin| origin.key == key && origin.place == place);
        Some(known.cloned().unwrap_or_else(|| Origin { place: place.into(), key: key.into(), value: String::new() }))
    }
}

/// Whether a value is that of a key, or in its list.
fn is_of(written: &str, key: &str) -> bool {
    written.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('[') || rest.starts_with('.'))
}
