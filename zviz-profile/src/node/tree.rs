//! What the library makes of YAML, and a node of that.

use super::{Entry, Node, Value};
use crate::place::{Fault, Place};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Location, Options, Spanned, Tagged};
use std::fmt;
use std::sync::Arc;

/// How deep lists and maps may be in each other; the schema has five levels.
const DEEPEST: usize = 16;
/// The most values.
const MOST: usize = 20_000;

/// Reads a text whose first place is `start`.
pub(super) fn read(start: &Place, text: &str) -> Result<Node, Fault> {
    let file = &start.file;
    match serde_saphyr::from_str_with_options::<Tree>(text, options()) {
        Ok(tree) => tree.node(&Source { file, text }),
        Err(error) => {
            let place = error.location().map_or_else(|| start.clone(), |location| place_of(file, location));
            Err(Fault { place, key: String::new(), what: in_words(&error), help: None })
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
    if let Some((_, rest)) = text.split_once("duplicate mapping key: ") {
        let key = rest.rsplit_once(", set ").map_or(rest, |(key, _)| key);
        return format!("{key} is there already");
    }
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
