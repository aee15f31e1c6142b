//! What the host says of containers: `/etc/zviz/config.yaml`, read with the machinery of profiles and a schema of its own.

mod keys;

pub use keys::ROOT;

use crate::check::check;
use crate::inherit::Text;
use crate::node::{Node, Value};
use crate::place::{Fault, Faults, Place};
use crate::schema::Kind;
use serde::Deserialize;

/// The host's policy, checked. The keys are those of [`ROOT`], which says what each is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct HostPolicy {
    pub schema_version: Option<String>,
    pub version: Option<String>,
    pub annotations: Annotations,
    pub default_profile: Option<String>,
    pub audit: Audit,
    pub broker: Broker,
    pub security: Security,
    runtime: Runtime,
    logging: Logging,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct Annotations {
    pub profiles: Option<Vec<String>>,
    pub folder: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct Audit {
    pub file: Option<String>,
    pub always: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct Broker {
    pub max_inflight: Option<u32>,
    /// Milliseconds.
    pub timeout_ms: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct Security {
    pub require_seccomp: Option<bool>,
    pub no_new_privs: Option<bool>,
}

/// Refused; what says nothing is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Runtime {
    state_dir: Option<String>,
    rootless: Option<bool>,
}

/// Refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Logging {
    level: Option<String>,
    format: Option<String>,
}

/// Reads it.
///
/// # Errors
/// All that is wrong with it, each with its line.
pub fn read_host(text: &Text) -> Result<HostPolicy, Faults> {
    let tree = Node::parse(&text.file, &text.text)?;
    let mut faults = Faults::default();
    if !matches!(tree.value, Value::Map(_) | Value::Nothing) {
        faults.add(&tree.place, "", "is no policy: a map of keys is expected, such as `default_profile: default`");
        return Err(faults);
    }
    let value = check(&tree, Kind::Map(ROOT), "", &mut faults);
    let value = faults.or(value)?;
    let policy: HostPolicy = serde_json::from_value(value).map_err(|error| {
        Faults::from(Fault { place: tree.place.clone(), key: String::new(), what: error.to_string(), help: None })
    })?;
    let mut faults = Faults::default();
    for (section, key, path) in
        [("audit", "file", &policy.audit.file), ("annotations", "folder", &policy.annotations.folder)]
    {
        if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            faults.add(
                &place(&tree, section, key),
                format!("{section}.{key}"),
                "must be absolute: whose home would ~ be?",
            );
        }
    }
    if policy.audit.always == Some(true) && policy.audit.file.is_none() {
        faults.add(&place(&tree, "audit", "always"), "audit.always", "needs audit.file, which says where");
    }
    faults.or(policy)
}

fn place(tree: &Node, section: &str, key: &str) -> Place {
    let node = tree.get(section).and_then(|section| section.get(key));
    node.map_or_else(|| tree.place.clone(), |node| node.place.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HostPolicy, String> {
        let text = Text { file: "config.yaml".into(), text: text.into() };
        read_host(&text).map_err(|faults| faults.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let text = "schema_version: \"1.0\"\nversion: 2\nannotations: {profiles: [a, b], folder: /srv/profiles}\ndefault_profile: a\n\
                    audit: {file: /var/log/zviz/audit.jsonl, always: true}\nbroker: {max_inflight: 10, timeout_ms: 2s}\n\
                    security: {require_seccomp: true, no_new_privs: true}\nruntime: {rootless: false}\n";
        let policy = read(text).unwrap();
        assert_eq!(policy.annotations.profiles, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((policy.default_profile.as_deref(), policy.audit.always), (Some("a"), Some(true)));
        assert_eq!((policy.broker.max_inflight, policy.broker.timeout_ms), (Some(10), Some(2000)));
        assert_eq!((policy.security.require_seccomp, policy.security.no_new_privs), (Some(true), Some(true)));
        for text in ["", "# nothing\n", "audit:\n"] {
            assert_eq!(read(text), Ok(HostPolicy::default()), "{text:?}");
        }
    }

    #[test]
    fn faults_have_their_line() {
        for (text, expected) in [
            ("\ndefault_profle: a\n", "config.yaml:2: default_profle: is no key (did you mean default_profile?)"),
            ("annotations: {profiles: [../x]}\n", "config.yaml:1: annotations.profiles[0]: "),
            ("default_profile: /etc/x\n", "config.yaml:1: default_profile: "),
            ("audit: {file: ~/x}\n", "config.yaml:1: audit.file: must be absolute"),
            ("audit: {always: true}\n", "config.yaml:1: audit.always: needs audit.file"),
            ("runtime: {state_dir: /x}\n", "config.yaml:1: runtime.state_dir: cannot be had: "),
            ("runtime: {rootless: true}\n", "config.yaml:1: runtime.rootless: cannot be had: "),
            ("logging:\n  level: info\n  format: json\n", "config.yaml:3: logging.format: cannot be had: "),
            ("broker: {max_inflight: 0}\n", "config.yaml:1: broker.max_inflight: "),
            ("- a\n", "config.yaml:1: is no policy"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(expected), "{text:?}: {said}");
        }
    }
}
