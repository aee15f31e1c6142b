//! The schema for editors: JSON Schema, draft 2020-12.

use crate::schema::{Does, Key, Kind, ROOT};
use serde_json::{Map, Value as Json, json};

/// The whole schema.
#[must_use]
pub fn json_schema() -> Json {
    let mut schema = map(ROOT);
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("zviz profile"));
    Json::Object(schema)
}

fn map(keys: &[Key]) -> Map<String, Json> {
    let property = |key: &Key| {
        let mut schema = kind(key.kind);
        let about = match key.does {
            Does::Refused(why) => format!("{}. Cannot be had: {why}", key.about),
            Does::Enforced(by) => format!("{}. Enforced by: {by}", key.about),
            Does::Holds | Does::Describes => key.about.to_owned(),
        };
        schema.insert("description".into(), json!(about));
        (key.name.to_owned(), Json::Object(schema))
    };
    let properties: Map<String, Json> = keys.iter().map(property).collect();
    object(json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties}))
}

fn kind(of: Kind) -> Map<String, Json> {
    object(match of {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Word(words) => json!({"enum": words}),
        Kind::Count(from, to) if to == u64::MAX => json!({"type": "integer", "minimum": from}),
        Kind::Count(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
        Kind::Text => json!({"type": ["string", "number"]}),
        Kind::Name => json!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._-]{0,63}$"}),
        Kind::Size | Kind::Time | Kind::Milliseconds | Kind::Cpu | Kind::Port | Kind::Call | Kind::Command => {
            json!({"type": ["string", "number"], "examples": [of.words()]})
        }
        Kind::Path => json!({"type": "string", "pattern": "^(/|~)"}),
        Kind::Glob | Kind::Peers | Kind::Host | Kind::Server | Kind::Device | Kind::Capability => {
            json!({"type": "string", "examples": [of.words()]})
        }
        Kind::List(one) => json!({"type": ["array", "null"], "items": kind(*one)}),
        Kind::Map(keys) => return map(keys),
    })
}

fn object(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::leaves;

    #[test]
    fn every_key_is_in_the_json_schema() {
        let schema = json_schema();
        for (path, key) in leaves() {
            let mut pointer = String::new();
            for part in path.split('.') {
                pointer.push_str("/properties/");
                pointer.push_str(part.trim_end_matches("[]"));
                if part.ends_with("[]") {
                    pointer.push_str("/items");
                }
            }
            let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
            assert!(found["description"].as_str().unwrap().starts_with(key.about), "{path}");
        }
    }
}
