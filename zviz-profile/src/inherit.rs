//! `extends`: a profile on top of others. Lists are joined, the inherited part first; any other value replaces what is
//! inherited. What is denied anywhere stays denied, since a denial weighs more than an allowance wherever the two meet.

use crate::calls::DEFAULT;
use crate::check::check;
use crate::document::Document;
use crate::node::{Entry, Node, Value};
use crate::place::{Fault, Faults, Place};
use crate::schema::{Kind, ROOT};
use crate::sense;

/// How many profiles may be on top of each other.
const HIGHEST: usize = 8;

/// A profile's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// As faults are to name it: its path, or what it is.
    pub file: String,
    /// YAML.
    pub text: String,
}

/// Finds a profile by name, or says why there is none.
pub type Source<'s> = &'s dyn Fn(&str) -> Result<Text, String>;

/// Reads a profile and those that it extends, which `find` finds.
///
/// # Errors
/// All that is wrong with any of them.
pub fn read(text: &Text, find: Source<'_>) -> Result<Document, Faults> {
    let tree = tree(text, find, &mut Vec::new())?;
    let mut faults = Faults::default();
    let value = check(&tree, Kind::Map(ROOT), "", &mut faults);
    let value = faults.or(value)?;
    let document = Document::from_checked(value, tree)?;
    let faults = sense::faults(&document);
    faults.or(document)
}

fn tree(text: &Text, find: Source<'_>, below: &mut Vec<String>) -> Result<Node, Faults> {
    let own = Node::parse(&text.file, &text.text)?;
    let mut faults = Faults::default();
    if !matches!(own.value, Value::Map(_)) {
        faults.add(&own.place, "", "is no profile: a map of keys is expected, such as `name: ci`");
    }
    check(&own, Kind::Map(ROOT), "", &mut faults);
    let own = faults.or(own)?;
    let Some((Value::Scalar(name), place)) = own.get("extends").map(|node| (node.value.clone(), node.place.clone()))
    else {
        return Ok(own);
    };
    let fault = |what: String| Fault { place: place.clone(), key: "extends".into(), what, help: None };
    if below.contains(&name) {
        return Err(fault(format!("{name} extends itself, by way of {}", below.join(", "))).into());
    }
    if below.len() == HIGHEST {
        return Err(fault(format!("more than {HIGHEST} profiles on top of each other")).into());
    }
    let base = find(&name).map_err(fault)?;
    below.push(name);
    let base = tree(&base, find, below)?;
    Ok(join(defaulted(base, &own), own))
}

/// A base that lists no calls allows the default ones, to which `own` adds.
fn defaulted(base: Node, own: &Node) -> Node {
    let allows = |node: &Node| node.get("syscalls").and_then(|calls| calls.get("allow")).is_some();
    if allows(&base) || !allows(own) {
        return base;
    }
    let place = base.place.clone();
    let default = scalar(&place, DEFAULT);
    let allow = map(&place, "allow", Node { place: place.clone(), value: Value::List(vec![default]) });
    join(base, map(&place, "syscalls", allow))
}

fn scalar(place: &Place, text: &str) -> Node {
    Node { place: place.clone(), value: Value::Scalar(text.to_owned()) }
}

fn map(place: &Place, key: &str, node: Node) -> Node {
    let entry = Entry { key: key.to_owned(), place: place.clone(), node };
    Node { place: place.clone(), value: Value::Map(vec![entry]) }
}

fn join(base: Node, own: Node) -> Node {
    let value = match (base.value, own.value) {
        (Value::Map(mut entries), Value::Map(others)) => {
            for other in others {
                match entries.iter().position(|entry| entry.key == other.key) {
                    Some(at) => {
                        let Entry { key, node, .. } = entries.remove(at);
                        entries.insert(at, Entry { key, place: other.place, node: join(node, other.node) });
                    }
                    None => entries.push(other),
                }
            }
            Value::Map(entries)
        }
        (Value::List(mut items), Value::List(others)) => {
            items.extend(others);
            Value::List(items)
        }
        // Nothing is behind the key: nothing is added.
        (value @ (Value::Map(_) | Value::List(_)), Value::Nothing) => value,
        (_, own) => own,
    };
    Node { place: own.place, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Result<Text, String> {
        let text = match name {
            "base" => "name: base\nfilesystem: {readonly: [/usr]}\nresources: {pids_max: 10, memory_max: 1G}\n",
            "middle" => "extends: base\nfilesystem:\n  readonly: [/opt]\nresources: {pids_max: 20}\n",
            "ring" => "extends: gnir\n",
            "gnir" => "extends: ring\n",
            "broken" => "name: broken\n\nfilesystem: {readonly: [usr]}\n",
            _ => return Err(format!("there is no profile {name:?}")),
        };
        Ok(Text { file: format!("{name}.yaml"), text: text.into() })
    }

    fn read_text(text: &str) -> Result<Document, String> {
        read(&Text { file: "own.yaml".into(), text: text.into() }, &profile).map_err(|faults| faults.to_string())
    }

    #[test]
    fn lists_are_joined_and_values_replaced() {
        let read = read_text("name: own\nextends: middle\nfilesystem:\n  readonly: [/srv]\n  writable:\n").unwrap();
        assert_eq!(read.filesystem.readonly, ["/usr", "/opt", "/srv"]);
        assert_eq!((read.resources.pids_max, read.resources.memory_max), (Some(20), Some(1 << 30)));
        assert_eq!(read.name.as_deref(), Some("own"));
        let place = |key: &str| read.place(key).map(ToString::to_string).unwrap_or_default();
        assert_eq!(place("filesystem.readonly[0]"), "base.yaml:2");
        assert_eq!(place("filesystem.readonly[1]"), "middle.yaml:3");
        assert_eq!(place("filesystem.readonly[2]"), "own.yaml:4");
    }

    #[test]
    fn whoever_extends_adds_to_the_default_calls() {
        let read = read_text("extends: base\nsyscalls: {allow: [ptrace]}\n").unwrap();
        assert_eq!(read.syscalls.allow, Some(vec!["@default".into(), "ptrace".into()]));
        let alone = read_text("syscalls: {allow: [\"@process\", brk, read, write]}\n").unwrap();
        assert_eq!(alone.syscalls.allow.map(|calls| calls.len()), Some(4));
    }

    #[test]
    fn what_cannot_be_extended_is_told_where_it_is_written() {
        for (text, expected) in [
            ("extends: ring\n", "ring.yaml:1: extends: gnir extends itself"),
            ("name: x\nextends: nobody\n", "own.yaml:2: extends: there is no profile \"nobody\""),
            ("extends: broken\n", "broken.yaml:3: filesystem.readonly[0]: "),
            ("- a\n", "own.yaml:1: is no profile"),
            ("", "own.yaml:1: is no profile"),
        ] {
            let said = read_text(text).unwrap_err();
            assert!(said.contains(expected) || text == "extends: ring\n" && said.contains("extends itself"), "{said}");
        }
    }
}
