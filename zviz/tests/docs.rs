//! The documents' examples: shell blocks are run, JSON is parsed, and the flags of `zviz run` are those of docs/run.md.
//! (Rust blocks are compiled as zviz-runtime's doc tests.)
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Scratch, ZVIZ, missing, run, skip};
use zviz_broker::table::{Entry, TABLE};
use zviz_runtime::profile::{BUILT_IN, Profile, built_in};

/// A fenced block.
struct Block {
    /// `FILE:LINE` of the fence.
    place: String,
    /// What stands behind the fence: a language, and perhaps why it is not run.
    info: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = in_folder(root()).chain(in_folder(root().join("docs")));
    let mut documents: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    documents.sort();
    documents
}

fn blocks(path: &Path) -> Vec<Block> {
    let text = fs::read_to_string(path).unwrap();
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    let (mut blocks, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        match (line.strip_prefix("```"), open) {
            (Some(info), false) => {
                blocks.push(Block { place, info: info.to_owned(), text: String::new() });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => blocks.last_mut().unwrap().text.extend([line, "\n"]),
            (None, false) => {
                let indented = line.starts_with("    ") && before.is_empty();
                assert!(!indented, "{place}: a block without a fence is neither run nor known not to be");
            }
        }
        before = line;
    }
    assert!(!open, "{name}: a block without an end");
    blocks
}

/// What a reader of the examples has at hand: a project with something to make, to build and to run.
fn project(scratch: &Scratch) {
    fs::create_dir(scratch.join("src")).unwrap();
    fs::write(scratch.join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(scratch.join("Cargo.toml"), "[package]\nname = \"example\"\nversion = \"0.1.0\"\n\n[workspace]\n")
        .unwrap();
    fs::write(scratch.join("Makefile"), "test:\n\techo tested\n").unwrap();
    fs::write(scratch.join("script.py"), "print('hello')\n").unwrap();
    fs::write(scratch.join("stranger.sh"), "#!/bin/sh\necho hello\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(scratch.join("stranger.sh"), executable).unwrap();
}

#[test]
fn examples_work() {
    if let Some(missing) = missing(&["make", "python3", "cargo"]) {
        return skip("examples_work", &format!("{missing} is not installed"));
    }
    let scratch = Scratch::new("docs");
    project(&scratch);
    let path = format!("{}:{}", Path::new(ZVIZ).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut ran = 0;
    for block in documents().iter().flat_map(|path| blocks(path)) {
        let Block { place, info, text } = block;
        match info.split_once(" not run: ").map_or((info.as_str(), None), |(kind, why)| (kind, Some(why))) {
            ("sh", None) => {
                for line in text.lines() {
                    let mut shell = Command::new("sh");
                    let done = run(shell.args(["-ec", line]).current_dir(scratch.path()).env("PATH", &path));
                    assert!(done.code == 0, "{place}: {line}: {done}");
                    ran += 1;
                }
            }
            ("sh", Some(why)) => println!("{place}: not run: {why}"),
            ("json", None) => {
                serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            // Of profiles; they are checked below.
            ("yaml", None) => {}
            ("toml" | "ini" | "text" | "rust,no_run", None) => {}
            _ => panic!("{place}: what is to be done with a block of {info:?}?"),
        }
    }
    assert!(ran >= 4, "only {ran} examples");
}

fn flags(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    parts.filter(|part| part.len() > 3 && part.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn every_flag_is_told_and_every_flag_told_is_there() {
    let help = run(Command::new(ZVIZ).args(["run", "--help"])).ok();
    let (_, sandbox) = help.split_once("\nSandbox:").unwrap();
    let there: BTreeSet<String> =
        sandbox.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(flags).collect();
    let document = fs::read_to_string(root().join("docs/run.md")).unwrap();
    let (_, table) = document.split_once("\n## Flags\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `--")?.split('|').next());
    let told: BTreeSet<String> = rows.flat_map(|cell| flags(&format!("--{cell}"))).collect();
    assert!(there.len() > 10);
    assert_eq!(there, told);
}

/// The profiles that have a broker, and the calls that it mediates in each.
fn brokered() -> Vec<(&'static str, Vec<&'static str>)> {
    let profiles = BUILT_IN.iter().map(|(name, _)| (*name, Profile::built_in(name).unwrap().broker.calls()));
    profiles.filter(|(_, calls)| !calls.is_empty()).collect()
}

#[test]
fn the_table_of_mediated_calls_is_the_programs() {
    let document = fs::read_to_string(root().join("docs/broker.md")).unwrap();
    let row = |entry: &Entry| {
        let by: Vec<&str> =
            brokered().into_iter().filter(|(_, calls)| calls.contains(&entry.name)).map(|(name, _)| name).collect();
        format!("| `{}` | {} | {} |\n", entry.name, by.join(", "), entry.what).replace("|  |", "| |")
    };
    let table: String = TABLE.iter().map(row).collect();
    let table = format!("| Call | Profiles | What is done |\n|---|---|---|\n{table}\n");
    assert!(document.contains(&table), "docs/broker.md needs this table:\n{table}");
}

#[test]
fn filters_for_other_runtimes_name_what_their_profile_mediates() {
    let blocks = blocks(&root().join("docs/broker.md"));
    let filters: Vec<serde_json::Value> =
        blocks.iter().filter(|block| block.info == "json").map(|b| serde_json::from_str(&b.text).unwrap()).collect();
    // Opening files is for containers of zviz alone. Who is named for where they connect to keeps most of what they say by
    // other layers, which other runtimes would leave out.
    let alone = |calls: &[&str]| ["openat", "connect"].iter().any(|call| calls.contains(call));
    for (profile, calls) in brokered().into_iter().filter(|(_, calls)| !alone(calls)) {
        let socket = format!("/run/zviz-{profile}.sock");
        let filter = filters.iter().find(|filter| filter["listenerPath"] == socket);
        let filter = filter.unwrap_or_else(|| panic!("docs/broker.md has no filter for {profile}: {calls:?}"));
        let rules = filter["syscalls"].as_array().unwrap();
        let told = rules.iter().find(|rule| rule["action"] == "SCMP_ACT_NOTIFY").unwrap();
        assert_eq!(told["names"], serde_json::json!(calls), "{profile}");
    }
}

#[test]
fn every_flag_of_the_broker_is_told() {
    let help = run(Command::new(ZVIZ).args(["broker", "--help"])).ok();
    let there: BTreeSet<String> =
        help.lines().filter(|line| line.trim_start().starts_with("--")).flat_map(flags).collect();
    let document = fs::read_to_string(root().join("docs/broker.md")).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `--")?.split(['|', ' ']).next());
    let told: BTreeSet<String> = rows.flat_map(|cell| flags(&format!("--{cell}"))).collect();
    assert!(there.len() > 3);
    assert_eq!(there, told);
}

#[test]
fn the_table_of_keys_is_the_programs() {
    let document = fs::read_to_string(root().join("docs/profiles.md")).unwrap();
    let table = Command::new(ZVIZ).args(["profile", "keys"]).output().unwrap().stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(document.ends_with(&table), "docs/profiles.md ends with this table:\n{table}");
    let document = document + &fs::read_to_string(root().join("docs/network.md")).unwrap();
    let examples = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let folder = tempfile::tempdir().unwrap();
    for (i, example) in examples.enumerate() {
        let file = folder.path().join(format!("{i}.yaml"));
        fs::write(&file, example).unwrap();
        let checked = Command::new(ZVIZ).args(["profile", "check"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{example}\n{checked:?}");
    }
}

#[test]
fn every_built_in_profile_is_told_by_its_own_words() {
    let document = fs::read_to_string(root().join("docs/profiles.md")).unwrap();
    for (name, _) in BUILT_IN {
        let about = built_in::document(name).unwrap().unwrap().description.unwrap();
        let row = format!("\n| `{name}` | {about} | ");
        assert!(document.contains(&row), "docs/profiles.md needs a row{row}");
    }
}
