//! The parsed config.json: the seam to the oci-spec crate.
//!
//! The crate reads the shape; what it reads wrongly is mended here, on the raw value, before it sees it (`patch`).
//! What the fields mean, and whether they fit together, is for the deciders of `plan`.

mod patch;
mod version;

use crate::plan::{Note, Problems};
use crate::profile::hashed::sha256;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No config.json is larger, in bytes. The largest seen in use (Kubernetes, a full seccomp profile) has 200 kB; a
/// larger one is a mistake or an attempt to fill the memory of a privileged process.
pub const MAX_SIZE: usize = 16 << 20;

/// A parsed config.json.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The typed form.
    pub oci: oci_spec::runtime::Spec,
    /// The same as JSON, for what the typed form does not carry.
    pub raw: Value,
    /// The bundle, absolute: relative paths of the spec begin here.
    pub bundle: String,
    /// What was left out while reading.
    pub notes: Vec<Note>,
    /// SHA-256 of the text; empty where there was none.
    pub sha256: String,
}

/// Why there is no spec.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// config.json cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bundle has no absolute path in UTF-8.
    #[error("bundle {}: {what}", path.display())]
    Bundle {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It is larger than [`MAX_SIZE`].
    #[error("config.json: larger than {} MiB", MAX_SIZE >> 20)]
    TooLarge,
    /// It is not JSON.
    #[error("config.json:{line}:{column}: {what}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// It is JSON, but no runtime specification.
    #[error("config.json: {0}")]
    Shape(Problems),
}

/// Reads and parses `config.json` of a bundle.
///
/// # Errors
/// [`SpecError`], in one line that names the file and the place in it.
pub fn load(bundle: &Path) -> Result<Spec, SpecError> {
    let path = bundle.join("config.json");
    let absolute =
        std::path::absolute(bundle).map_err(|e| SpecError::Bundle { path: bundle.to_owned(), what: e.to_string() })?;
    let Some(absolute) = absolute.to_str() else {
        return Err(SpecError::Bundle { path: bundle.to_owned(), what: "its path is not UTF-8".into() });
    };
    let bytes = read_capped(&path).map_err(|source| SpecError::Read { path, source })?;
    parse(&bytes, absolute)
}

/// At most one byte more than is allowed, so that `parse` can tell. The size that stat(2) reports is not trusted: the
/// file may grow, or be a FIFO.
fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 << 10);
    File::open(path)?.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses the text of a config.json whose bundle is at the absolute path `bundle`.
///
/// # Errors
/// [`SpecError`], in one line that names the place.
pub fn parse(bytes: &[u8], bundle: &str) -> Result<Spec, SpecError> {
    if bytes.len() > MAX_SIZE {
        return Err(SpecError::TooLarge);
    }
    let mut raw: Value = serde_json::from_slice(bytes).map_err(|e| syntax(&e))?;
    let mut notes = Vec::new();
    let mut problems = Problems::default();
    if !raw.is_object() {
        problems.add("the whole file", "must be an object");
        return Err(SpecError::Shape(problems));
    }
    patch::mend(&mut raw, &mut notes, &mut problems);
    version::check(&raw, &mut problems);
    match problems.or(()).and_then(|()| typed(&raw)) {
        Ok(oci) => Ok(Spec { oci, raw, bundle: bundle.to_owned(), notes, sha256: sha256(bytes) }),
        Err(problems) => Err(SpecError::Shape(problems)),
    }
}

/// Parses one process, as `exec --process FILE` takes it.
///
/// # Errors
/// [`SpecError`], in one line that names the place.
pub fn parse_process(bytes: &[u8]) -> Result<(oci_spec::runtime::Process, Vec<Note>), SpecError> {
    if bytes.len() > MAX_SIZE {
        return Err(SpecError::TooLarge);
    }
    let process: Value = serde_json::from_slice(bytes).map_err(|e| syntax(&e))?;
    let mut raw = serde_json::json!({ "process": process });
    let mut notes = Vec::new();
    let mut problems = Problems::default();
    patch::mend(&mut raw, &mut notes, &mut problems);
    match problems.or(()).and_then(|()| typed::<OnlyProcess>(&raw)) {
        Ok(whole) => Ok((whole.process, notes)),
        Err(problems) => Err(SpecError::Shape(problems)),
    }
}

/// Gives the places in a single process the names that they have in a config.json.
#[derive(serde::Deserialize)]
struct OnlyProcess {
    process: oci_spec::runtime::Process,
}

fn syntax(error: &serde_json::Error) -> SpecError {
    let whole = error.to_string();
    // The position is a field of its own; serde_json repeats it in the text.
    let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
    SpecError::Syntax { line: error.line(), column: error.column(), what: what.to_owned() }
}

/// The typed form, or the JSON path of the first value that does not fit and what is wrong with it.
fn typed<T: serde::de::DeserializeOwned>(raw: &Value) -> Result<T, Problems> {
    serde_path_to_error::deserialize(raw).map_err(|error| {
        let mut problems = Problems::default();
        let path = error.path().to_string();
        let what = error.inner().to_string();
        if let Some(field) = quoted(&what, "missing field `") {
            let place = if path == "." { field.to_owned() } else { format!("{path}.{field}") };
            problems.add(place, "is required");
        } else if let Some(value) = quoted(&what, "unknown variant `") {
            problems.add(path, format!("unknown value {value:?}"));
        } else if let Some(list) = what.strip_prefix("Invalid execCPUAffinity format: ") {
            problems.add(path, format!("{list:?} is not a list such as \"0-2,7\""));
        } else {
            problems.add(path, what);
        }
        problems
    })
}

/// What stands between `prefix` and the next backquote.
fn quoted<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (value, _) = text.strip_prefix(prefix)?.split_once('`')?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text.as_bytes(), "/bundle").expect_err("must be refused").to_string()
    }

    #[test]
    fn a_syntax_error_has_line_and_column() {
        assert_eq!(error("{\n  \"ociVersion\": ,\n}"), "config.json:2:17: expected value");
    }

    #[test]
    fn an_unknown_value_has_its_path() {
        let text = r#"{"ociVersion":"1.0.2","process":{"cwd":"/","rlimits":[{"type":"RLIMIT_FOO"}]}}"#;
        assert_eq!(error(text), "config.json: process.rlimits[0].type: unknown value \"RLIMIT_FOO\"");
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(error(r#"{"ociVersion":"1.0.2","process":{}}"#), "config.json: process.cwd: is required");
    }

    #[test]
    fn unknown_keys_are_ignored() {
        assert!(parse(br#"{"ociVersion":"1.0.2","later":{"a":[1]},"linux":{"newer":1}}"#, "/b").is_ok());
    }

    #[test]
    fn an_unknown_capability_is_dropped_with_a_note() {
        let text =
            br#"{"ociVersion":"1.0.2","process":{"cwd":"/","capabilities":{"bounding":["CAP_KILL","CAP_TIMELORD"]}}}"#;
        let spec = parse(text, "/b").expect("only a note");
        assert_eq!(
            spec.notes[0].to_string(),
            "process.capabilities: ignoring unknown or unavailable capabilities: [CAP_TIMELORD]"
        );
    }

    #[test]
    fn spellings_of_the_specification_are_read() {
        let text = br#"{"ociVersion":"1.0.2","process":{"cwd":"/","scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_RESET_ON_FORK","SCHED_FLAG_DL_OVERRUN"]}}}"#;
        assert!(parse(text, "/b").is_ok());
    }

    #[test]
    fn a_value_that_is_too_large_is_not_parsed() {
        assert!(matches!(parse(&vec![b' '; MAX_SIZE + 1], "/b"), Err(SpecError::TooLarge)));
    }
}
