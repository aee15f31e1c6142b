//! YAML as a tree in which everything knows its place. Scalars stay text: what they mean is for the schema to say, so that
//! `version: 1.10` is not the number 1.1, nor `no` a country that is false.

use crate::place::{Fault, Place};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Location, Options, Spanned, Tagged};
use std::fmt;
use std::sync::Arc;

/// The longest file that is read, in bytes.
pub const LONGEST: usize = 256 << 10;
/// How deep lists and maps may be in each other; the schema has five levels.
const DEEPEST: usize = 16;
/// The most values.
const MOST: usize = 20_000;

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
        let file: Arc<str> = Arc::from(file);
        let start = Place { file: Arc::clone(&file), line: 1, column: 1 };
        let fault = |place: Place, what: String| Fault { place, key: String::new(), what, help: None };
        if text.len() > LONGEST {
            return Err(fault(start, format!("is longer than {LONGEST} bytes")));
        }
        match serde_saphyr::from_str_with_options::<Tree>(text, options()) {
            Ok(tree) => tree.node(&Source { file: &file, text }),
            Err(error) => {
                let place = error.location().map_or(start, |location| place_of(&file, location));
                Err(fault(place, in_words(&error)))
            }
        }
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

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_depth: DEEPEST,
            max_nodes: MOST,
        },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The library's errors begin with their place, which is said already, and name its options, which are not the reader's.
fn in_words(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let known = [
        ("merge keys", "merge keys (<<) are not read: write out what is meant, or extend another profile"),
        ("Anchors", "anchors (&) and aliases (*) are not read: write out what is meant"),
        ("Aliases", "anchors (&) and aliases (*) are not read: write out what is meant"),
        ("Documents", "there is more than one document"),
    ];
    if let Some((_, words)) = known.iter().find(|(sign, _)| text.contains(sign)) {
        return (*words).to_owned();
    }
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    match text.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, what)) => what.to_owned(),
        None => text.to_owned(),
    }
}

fn place_of(file: &Arc<str>, location: Location) -> Place {
    let number = |of: u64| u32::try_from(of).unwrap_or(u32::MAX);
    Place { file: Arc::clone(file), line: number(location.line()), column: number(location.column()) }
}

struct Source<'t> {
    file: &'t Arc<str>,
    text: &'t str,
}

/// What the library gives.
struct Tree(Spanned<Tagged<Kind>>);

enum Kind {
    Nothing,
    Text(String),
    /// Anything else: its text is in the source.
    Plain,
    List(Vec<Tree>),
    Map(Vec<(Spanned<Tagged<String>>, Tree)>),
}

impl Tree {
    fn node(self, source: &Source<'_>) -> Result<Node, Fault> {
        let (value, at) = source.untagged(self.0)?;
        let value = match value {
            Kind::Nothing => Value::Nothing,
            Kind::Text(text) => Value::Scalar(text),
            Kind::Plain => Value::Scalar(source.slice(at)),
            Kind::List(items) => {
                Value::List(items.into_iter().map(|item| item.node(source)).collect::<Result<_, Fault>>()?)
            }
            Kind::Map(entries) => {
                let entry = |(key, tree): (Spanned<Tagged<String>>, Tree)| {
                    let (key, at) = source.untagged(key)?;
                    Ok(Entry { key, place: place_of(source.file, at), node: tree.node(source)? })
                };
                Value::Map(entries.into_iter().map(entry).collect::<Result<_, Fault>>()?)
            }
        };
        Ok(Node { place: place_of(source.file, at), value })
    }
}

impl Source<'_> {
    /// What is tagged would be something else to another reader.
    fn untagged<T>(&self, given: Spanned<Tagged<T>>) -> Result<(T, Location), Fault> {
        let (Tagged(value, tag), at) = (given.value, given.referenced);
        match tag {
            None => Ok((value, at)),
            Some(tag) => {
                let what = format!("has the tag {tag}: nothing here is of a type of its own");
                let help = Some("leave the tag out".to_owned());
                Err(Fault { place: place_of(self.file, at), key: String::new(), what, help })
            }
        }
    }

    fn slice(&self, at: Location) -> String {
        let number = |of: Option<u64>| of.and_then(|of| usize::try_from(of).ok());
        let (start, length) = (number(at.span().byte_offset()), number(at.span().byte_len()));
        let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
        let text = start.zip(end).and_then(|(start, end)| self.text.get(start..end));
        text.unwrap_or_default().trim().to_owned()
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Spanned::deserialize(from).map(Tree)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Kinds)
    }
}

struct Kinds;

impl<'de> Visitor<'de> for Kinds {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Nothing)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Nothing)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Plain)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Kind::Map(map))
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
            ("a: 1\na: 2\n", "a.yaml:2: duplicate"),
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
