//! What oci-spec reads differently from every other runtime, mended on the raw value first.

use crate::plan::{Note, Problems, capabilities};
use serde_json::{Map, Value};

/// (spelling of the specification, spelling of oci-spec 0.10): config.md, "scheduler".
const SCHEDULER_FLAGS: &[(&str, &str)] =
    &[("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

/// The five sets of `process.capabilities`.
const SETS: &[&str] = &["bounding", "effective", "inheritable", "permitted", "ambient"];

/// Mends `raw`: nulls, flag names, capabilities that this build does not know.
pub(super) fn mend(raw: &mut Value, notes: &mut Vec<Note>, problems: &mut Problems) {
    drop_nulls(raw);
    if let Some(process) = raw.get_mut("process").and_then(Value::as_object_mut) {
        // Who writes configs in Go may leave out what is zero; `user` is all zero for root.
        process.entry("user").or_insert_with(|| Value::Object(Map::new()));
        respell_scheduler_flags(process);
        drop_unknown_capabilities(process, notes, problems);
    }
    drop_empty_seccomp(raw);
    strings_and_objects(raw, problems);
}

/// A null member is an absent one: Go's decoder reads it so, and its users rely on it.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn respell_scheduler_flags(process: &mut Map<String, Value>) {
    let flags = process.get_mut("scheduler").and_then(|s| s.get_mut("flags")).and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        let known = SCHEDULER_FLAGS.iter().find(|(spec, _)| flag.as_str() == Some(spec));
        if let Some((_, theirs)) = known {
            *flag = Value::String((*theirs).to_owned());
        }
    }
}

/// Without an action and without a call the section asks for nothing, as runc reads it.
fn drop_empty_seccomp(raw: &mut Value) {
    let Some(linux) = raw.get_mut("linux").and_then(Value::as_object_mut) else { return };
    let Some(seccomp) = linux.get("seccomp").and_then(Value::as_object) else { return };
    let action = seccomp.get("defaultAction").and_then(Value::as_str).unwrap_or_default();
    let calls = seccomp.get("syscalls").and_then(Value::as_array);
    if action.is_empty() && !seccomp.contains_key("defaultErrnoRet") && calls.is_none_or(Vec::is_empty) {
        linux.remove("seccomp");
    }
}

/// config.md has an unknown capability logged and left out; the crate would fail the whole config.
fn drop_unknown_capabilities(process: &mut Map<String, Value>, notes: &mut Vec<Note>, problems: &mut Problems) {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else { return };
    let mut unknown: Vec<String> = Vec::new();
    for set in SETS {
        let Some(names) = sets.get_mut(*set).and_then(Value::as_array_mut) else { continue };
        let mut place = 0;
        names.retain(|name| {
            let at = format!("process.capabilities.{set}[{place}]");
            place += 1;
            match name.as_str() {
                Some(name) if capabilities::number(name).is_some() => true,
                Some(name) => {
                    if !unknown.iter().any(|known| known == name) {
                        unknown.push(name.to_owned());
                    }
                    false
                }
                None => {
                    problems.add(at, "must be the name of a capability");
                    false
                }
            }
        });
    }
    if !unknown.is_empty() {
        // The words are runc's.
        let list = unknown.join(" ").escape_debug().to_string();
        notes.push(Note(format!("process.capabilities: ignoring unknown or unavailable capabilities: [{list}]")));
    }
}

/// Members that are objects. Serde would take a list for any of them, and its items for the fields in their order.
const OBJECTS: &[&str] = &[
    "blockIO",
    "capabilities",
    "consoleSize",
    "cpu",
    "execCPUAffinity",
    "hooks",
    "intelRdt",
    "ioPriority",
    "linux",
    "memory",
    "memoryPolicy",
    "network",
    "personality",
    "pids",
    "process",
    "resources",
    "root",
    "scheduler",
    "seccomp",
    "user",
];

/// Every string that reaches the kernel ends at its first NUL: what was checked would not be what is used.
fn strings_and_objects(raw: &Value, problems: &mut Problems) {
    const READ: &[&str] = &["process", "root", "hostname", "domainname", "mounts", "hooks", "linux"];
    for key in READ {
        if let Some(value) = raw.get(key) {
            search(value, key, &mut (*key).to_owned(), problems);
        }
    }
}

fn search(value: &Value, key: &str, path: &mut String, problems: &mut Problems) {
    let length = path.len();
    match value {
        Value::String(text) if text.contains('\0') => problems.add(path.clone(), "contains a NUL byte"),
        Value::Array(_) if OBJECTS.contains(&key) => problems.add(path.clone(), "must be an object, not a list"),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                // The common case, a list of plain strings, needs no path.
                if matches!(item, Value::String(text) if !text.contains('\0')) {
                    continue;
                }
                path.push_str(&format!("[{i}]"));
                match item {
                    // No list of the specification holds lists.
                    Value::Array(_) => problems.add(path.clone(), "must be an object, not a list"),
                    _ => search(item, "", path, problems),
                }
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                if key.contains('\0') {
                    problems.add(path.clone(), format!("the key {key:?} contains a NUL byte"));
                }
                path.push('.');
                path.push_str(key);
                search(member, key, path, problems);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
