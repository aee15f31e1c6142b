//! A profile as data: what its author wrote, checked and in one form. Absent is not the same as empty where both mean
//! something.

mod sections;

pub use sections::*;

use crate::node::{Node, Value};
use crate::place::{Fault, Faults, Place};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A profile. The keys are those of [`crate::schema::ROOT`], which says what each is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the schema has a sentence about each")]
pub struct Document {
    pub schema_version: Option<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    pub mode: Option<String>,
    pub extends: Option<String>,
    pub requirements: Requirements,
    pub syscalls: Syscalls,
    pub ioctl: Ioctl,
    pub filesystem: Filesystem,
    pub lsm: Lsm,
    pub network: Network,
    pub resources: Resources,
    pub capabilities: Capabilities,
    pub broker: Broker,
    pub audit: Audit,
    pub nested: Option<bool>,
    #[serde(skip)]
    tree: Option<Box<Node>>,
}

impl Document {
    /// From what [`crate::check`] has given, and the tree that it was.
    pub(crate) fn from_checked(value: Json, tree: Node) -> Result<Document, Faults> {
        match serde_json::from_value::<Document>(value) {
            Ok(document) => Ok(Document { tree: Some(Box::new(tree)), ..document }),
            Err(error) => {
                let (place, key, what) = (tree.place, String::new(), error.to_string());
                Err(Fault { place, key, what, help: None }.into())
            }
        }
    }

    /// Where a key is written, such as `filesystem.writable[2]`; if it is.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        let mut node = self.tree.as_deref()?;
        for part in key.split('.') {
            let (name, indexes) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
            node = node.get(name)?;
            for index in indexes.split('[').filter(|index| !index.is_empty()) {
                let index: usize = index.trim_end_matches(']').parse().ok()?;
                let Value::List(items) = &node.value else { return None };
                node = items.get(index)?;
            }
        }
        Some(&node.place)
    }

    /// Every value that is written, its own or inherited: its key, as [`Document::place`] takes it, its text, and where it is.
    #[must_use]
    pub fn written(&self) -> Vec<(String, &str, &Place)> {
        let mut found = Vec::new();
        if let Some(tree) = &self.tree {
            collect(tree, "", &mut found);
        }
        found
    }

    /// Leaves nothing but what is said of the network, and who says it.
    pub fn keep_network(&mut self) {
        let (name, network, tree) = (self.name.take(), std::mem::take(&mut self.network), self.tree.take());
        *self = Document { name, network, tree, ..Document::default() };
    }

    /// Where the profile itself begins.
    #[must_use]
    pub fn start(&self) -> Option<&Place> {
        self.tree.as_deref().map(|tree| &tree.place)
    }
}

fn collect<'n>(node: &'n Node, key: &str, found: &mut Vec<(String, &'n str, &'n Place)>) {
    match &node.value {
        Value::Map(entries) => entries.iter().for_each(|entry| {
            let key = if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
            collect(&entry.node, &key, found);
        }),
        Value::List(items) => {
            items.iter().enumerate().for_each(|(i, item)| collect(item, &format!("{key}[{i}]"), found));
        }
        Value::Scalar(text) => found.push((key.to_owned(), text, &node.place)),
        Value::Nothing => {}
    }
}
