//! A tree held against the schema: every fault at once, each value brought into one form.

use crate::nearest::nearest;
use crate::node::{Node, Value};
use crate::place::Faults;
use crate::scalar;
use crate::schema::{Does, Key, Kind};
use serde_json::{Map, Value as Json};

/// Characters of a value that a fault repeats.
const MOST_SHOWN: usize = 60;

/// Checks a node against a kind and gives its value in the one form that [`crate::Document`] is read from: sizes as bytes,
/// times as milliseconds, lists as lists.
pub(crate) fn check(node: &Node, kind: Kind, key: &str, faults: &mut Faults) -> Json {
    match (kind, &node.value) {
        (Kind::Map(keys), Value::Map(_) | Value::Nothing) => Json::Object(map(node, keys, key, faults)),
        (Kind::List(one), Value::List(items)) => {
            let checked = items.iter().enumerate().map(|(i, item)| check(item, *one, &format!("{key}[{i}]"), faults));
            checked.collect()
        }
        (Kind::List(_), Value::Nothing) => Json::Array(Vec::new()),
        (Kind::List(_) | Kind::Map(_), _) => wrong(node, kind, key, faults),
        (kind, Value::Scalar(text)) => match scalar::read(kind, text) {
            Ok(value) => value,
            Err(scalar::Wrong { what, meant }) => {
                let fault = faults.add(&node.place, key, what);
                fault.help = meant.map(|meant| format!("did you mean {meant}?"));
                Json::Null
            }
        },
        _ => wrong(node, kind, key, faults),
    }
}

fn wrong(node: &Node, kind: Kind, key: &str, faults: &mut Faults) -> Json {
    let is = match &node.value {
        Value::Nothing => "nothing".to_owned(),
        // A file of another kind is read as one text, and may be nobody's business.
        Value::Scalar(text) if text.chars().count() > MOST_SHOWN => "a text".to_owned(),
        Value::Scalar(text) => format!("{text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    };
    faults.add(&node.place, key, format!("must be {}, not {is}", kind.words()));
    Json::Null
}

fn map(node: &Node, keys: &'static [Key], above: &str, faults: &mut Faults) -> Map<String, Json> {
    let mut checked = Map::new();
    let Value::Map(entries) = &node.value else { return checked };
    for entry in entries {
        let path = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        let Some(known) = keys.iter().find(|known| known.name == entry.key) else {
            unknown(&entry.key, &path, keys, faults, entry);
            continue;
        };
        let value = check(&entry.node, known.kind, &path, faults);
        if let Does::Refused(why) = known.does
            && !says_nothing(&value)
        {
            faults.add(&entry.place, path, format!("cannot be had: {why}"));
            continue;
        }
        checked.insert(entry.key.clone(), value);
    }
    checked
}

/// An empty list, or a thing that is not wanted.
fn says_nothing(value: &Json) -> bool {
    matches!(value, Json::Null | Json::Bool(false)) || value.as_array().is_some_and(Vec::is_empty)
}

fn unknown(key: &str, path: &str, keys: &[Key], faults: &mut Faults, entry: &crate::node::Entry) {
    let fault = faults.add(&entry.place, path, "is no key");
    fault.help = Some(match nearest(key, keys.iter().map(|key| key.name)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ROOT;
    use serde_json::json;

    fn read(text: &str) -> Result<Json, String> {
        let node = Node::parse("a.yaml", text).map_err(|fault| fault.to_string())?;
        let mut faults = Faults::default();
        let value = check(&node, Kind::Map(ROOT), "", &mut faults);
        faults.or(value).map_err(|faults| faults.to_string())
    }

    #[test]
    fn values_come_in_one_form() {
        let text = "version: 0.1\nresources:\n  memory_max: 512Mi\n  cpu_max: 1.5\n  pids_max: 100\n  wall_time: 5m\n\
                    syscalls:\n  allow:\n  deny: [0]\nbroker: {timeout_ms: 200}\ncapabilities: {keep: [chown]}\n";
        let expected = json!({
            "version": "0.1",
            "resources": {"memory_max": 512 << 20, "cpu_max": [150_000, 100_000], "pids_max": 100, "wall_time": 300_000},
            "syscalls": {"allow": [], "deny": ["read"]},
            "broker": {"timeout_ms": 200},
            "capabilities": {"keep": ["CAP_CHOWN"]},
        });
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn what_is_no_profile_is_not_repeated() {
        let said = read(&"root:x:0:0:root:/root:/bin/sh\n".repeat(9)).unwrap_err();
        assert_eq!(said, "a.yaml:1: must be a map, not a text");
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "name: x/y\nfilesytem: {}\nfilesystem:\n  writeable: [/tmp]\n  readonly: /usr\n  hidden: [etc/../x]\n\
                    resources: {memory_max: 12Q, pids_max: 0, disk_max: 1G}\nsyscalls: {allow: [raed, \"@file\"]}\n\
                    network: {allow_domains: [10.0.0.1], dns: {proxy: {enabled: false}}}\n";
        let said = read(text).unwrap_err();
        for expected in [
            "a.yaml:1: name: ",
            "a.yaml:2: filesytem: is no key (did you mean filesystem?)",
            "a.yaml:4: filesystem.writeable: is no key (did you mean writable?)",
            "a.yaml:5: filesystem.readonly: must be a list, each an absolute path, or one that begins with ~/, not \"/usr\"",
            "a.yaml:6: filesystem.hidden[0]: ",
            "a.yaml:7: resources.memory_max: unknown unit \"Q\"",
            "a.yaml:7: resources.pids_max: ",
            "a.yaml:8: syscalls.allow[0]: there is no system call \"raed\" (did you mean read?)",
            "a.yaml:8: syscalls.allow[1]: there is no group \"@file\" (did you mean @files?)",
            "a.yaml:7: resources.disk_max: cannot be had: ",
            "a.yaml:9: network.allow_domains[0]: must be a host name",
        ] {
            assert!(said.contains(expected), "{expected}\nin\n{said}");
        }
        assert_eq!(said.lines().count(), 11, "{said}");
    }
}
