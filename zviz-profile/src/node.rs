//! YAML as a tree in which everything knows its place. Scalars stay text: what they mean is for the schema to say, so that
//! `version: 1.10` is not the number 1.1, nor `no` a country that is false.

mod tree;

use crate::place::{Fault, Place};
use std::sync::Arc;

/// The longest file that is read, in bytes.
pub const LONGEST: usize = 256 << 10;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing is written behind the key.
    Nothing,
    /// As it is written, without quotation marks.
    Scalar(String),
    /// In order.
    List(Vec<Node>),
    /// In order: no key is there twice.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub place: Place,
    /// What is behind it.
    pub node: Node,
}

impl Node {
    /// Reads a file.
    ///
    /// # Errors
    /// What is no YAML, or is longer, deeper or has more values than a profile can have. Aliases, merge keys, tags and more
    /// than one document are refused: who reads a profile should see what it says.
    pub fn parse(file: &str, text: &str) -> Result<Node, Fault> {
        let start = Place { file: Arc::from(file), line: 1, column: 1 };
        if text.len() > LONGEST {
            let what = format!("is longer than {LONGEST} bytes");
            return Err(Fault { place: start, key: String::new(), what, help: None });
        }
        tree::read(&start, text)
    }

    /// The value of a key, where this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, String> {
        Node::parse("a.yaml", text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn scalars_stay_as_they_are_written_and_know_their_place() {
        let node = parse("name: x\nversion: 1.10\nsyscalls:\n  allow: [read, \"12\", 0x1f]\n  deny: # none\n").unwrap();
        assert_eq!(node.get("version").map(|node| &node.value), Some(&Value::Scalar("1.10".into())));
        let allow = node.get("syscalls").and_then(|node| node.get("allow")).unwrap();
        let Value::List(items) = &allow.value else { panic!("{allow:?}") };
        let texts: Vec<_> = items.iter().map(|item| (&item.value, item.place.line, item.place.column)).collect();
        let scalar = |text: &str| Value::Scalar(text.into());
        assert_eq!(texts, [(&scalar("read"), 4, 11), (&scalar("12"), 4, 17), (&scalar("0x1f"), 4, 23)]);
        assert_eq!(node.get("syscalls").and_then(|node| node.get("deny")).unwrap().value, Value::Nothing);
    }

    #[test]
    fn what_is_no_profile_is_refused_with_its_line() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "a.yaml:2: a is there already"),
            ("a: [1,\n", "a.yaml:1: unclosed"),
            ("a: &x [1]\nb: *x\n", "a.yaml:1: anchors (&)"),
            ("b:\n  - &x 1\n", "a.yaml:2: anchors (&)"),
            ("a: 1\n<<: {b: 1}\n", "a.yaml:2: merge keys"),
            ("a: 1\n!!merge <<: {b: 1}\n", "a.yaml:2: merge keys"),
            ("a: 1\nb: !!str 12\n", "a.yaml:2: has the tag"),
            ("a: 1\nb: !own [x]\n", "a.yaml:2: has the tag"),
            ("a:\n  - !<tag:x,2000:y> x\n", "a.yaml:2: has the tag"),
            ("a: !!binary aGk=\n", "a.yaml:1: "),
            ("a:\n  !!str b: 1\n", "a.yaml:2: has the tag"),
            ("!!map {a: 1}\n", "a.yaml:1: has the tag"),
            ("a: ! x\n", "a.yaml:1: has the tag"),
            ("%TAG !e! tag:x,2000:\n---\na: !e!y x\n", "a.yaml:3: has the tag"),
            ("a: b\n---\nc: d\n", "a.yaml:2: there is more than one document"),
            ("a:\n\t- b\n", "a.yaml:2: "),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{text:?}: {said}");
        }
        assert!(parse(&"[".repeat(1000)).is_err());
        assert!(parse(&format!("a: {}", "x".repeat(LONGEST))).unwrap_err().contains("longer"));
    }
}
