//! Command lines that are wrong: each gives one line that names what is wrong, the right code, and leaves nothing.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::process::{Command, Output};

fn zviz(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zviz")).arg("--root").arg(root).args(arguments).output().unwrap()
}

/// (arguments, exit code, words of the one line)
const WRONG: &[(&[&str], i32, &str)] = &[
    (&["nope"], 1, "unrecognized subcommand 'nope'"),
    (&["--nope", "list"], 1, "'--nope'"),
    (&["--log-format", "xml", "list"], 1, "'xml'"),
    (&["--rootless", "maybe", "list"], 1, "'maybe'"),
    (&["--log", "/nonexistent/dir/log", "list"], 1, "open log /nonexistent/dir/log: No such file or directory"),
    (&["--log", "/proc", "list"], 1, "open log /proc: "),
    // Two forms of run
    (&["run"], 1, "run needs the id of a container to make, or -- and a command"),
    (&["run", "--rw", "/a", "x"], 1, "--rw is for a command in a sandbox"),
    (&["run", "--bundle", "/a", "--", "true"], 125, "--bundle is for a container of a bundle"),
    (&["run", "x", "--", "true"], 125, "\"x\" before -- is neither a flag nor part of the command"),
    (&["run", "--net", "lan", "--", "true"], 125, "'lan'"),
    (&["--log", "/nonexistent/dir/log", "run", "--", "true"], 125, "open log /nonexistent/dir/log"),
    (&["run", "--id", "a/b", "--", "true"], 125, "invalid container ID format"),
    // Bundles
    (&["create"], 1, "<ID>"),
    (&["create", "x", "y"], 1, "'y'"),
    (&["create", "--bundle", "/nonexistent", "x"], 1, "bundle /nonexistent: No such file or directory"),
    (&["create", "--bundle", "/proc/self", "x"], 1, "config.json: No such file or directory"),
    (&["create", "--preserve-fds", "-1", "x"], 1, "'-1'"),
    (&["run", "--bundle", "/nonexistent", "../x"], 1, "invalid container ID format"),
    // Programs in containers
    (&["exec"], 1, "<ID>"),
    (&["exec", "x"], 255, "exec needs a program"),
    (&["exec", "x", "true"], 255, "container does not exist: x"),
    (&["exec", "../x", "true"], 255, "invalid container ID format"),
    (&["exec", "--user", "-1", "x", "true"], 255, "--user"),
    (&["exec", "--user", "4294967295", "x", "true"], 255, "is not a number from 0 to 4294967294"),
    (&["exec", "--additional-gids", "-1", "x", "true"], 1, "'-1'"),
    (&["exec", "--process", "/nonexistent", "x"], 255, "--process /nonexistent: No such file or directory"),
    (&["exec", "--process", "/dev/null", "x"], 255, "--process /dev/null"),
    (&["ps"], 1, "<ID>"),
    (&["ps", "x", "--nope"], 1, "container does not exist: x"),
    (&["pause", "x"], 1, "container does not exist: x"),
    (&["resume", "x"], 1, "container does not exist: x"),
    (&["delete", "x"], 1, "container does not exist: x"),
    (&["start", "x"], 1, "container does not exist: x"),
    (&["plan", "--bundle", "/nonexistent"], 1, "/nonexistent"),
    (&["plan", "--bundle", "/proc/self", "a/b"], 1, "invalid container ID format"),
    // Ids
    (&["state"], 1, "<ID>"),
    (&["state", ""], 1, "container id cannot be empty"),
    (&["state", "."], 1, "invalid container ID format"),
    (&["state", ".."], 1, "invalid container ID format"),
    (&["state", "../x"], 1, "invalid container ID format"),
    (&["state", "a/b"], 1, "invalid container ID format"),
    (&["state", ".x"], 1, "invalid container ID format"),
    (&["state", "a b"], 1, "invalid container ID format"),
    (&["state", "a\nb"], 1, "invalid container ID format: \"a\\nb\""),
    (&["state", "\u{e4}"], 1, "invalid container ID format"),
    (&["state", "x"], 1, "container does not exist: x"),
    (&["state", "x", "y"], 1, "'y'"),
    (&["state", "--all", "x"], 1, "'--all'"),
    // Verbs on what is not there
    (&["kill", "x"], 1, "container does not exist: x"),
    (&["kill", "x", "NOPE"], 1, "unknown signal \"NOPE\""),
    (&["kill", "x", "65"], 1, "signal 65"),
    (&["kill", "x", "-1"], 1, "signal -1"),
    (&["kill", "x", "99999999999"], 1, "unknown signal"),
    (&["kill"], 1, "<ID>"),
    (&["kill", "x", "9", "9"], 1, "'9'"),
    // Others
    (&["list", "x"], 1, "'x'"),
    (&["list", "--format", "yaml"], 1, "'yaml'"),
    (&["spec", "x"], 1, "'x'"),
    (&["spec", "--bundle", "/nonexistent"], 1, "make /nonexistent/config.json: No such file or directory"),
    (&["checkpoint", "x"], 1, "checkpoint is not supported"),
    (&["restore", "--image-path", "/x", "x"], 1, "restore is not supported"),
];

#[test]
fn wrong_command_lines_give_one_line_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for (arguments, code, words) in WRONG {
        let output = zviz(&root, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {error}");
        assert!(error.starts_with("zviz: error: ") && error.contains(words), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!root.exists(), "{arguments:?} made the state root");
    }
}

#[test]
fn a_long_id_is_named_by_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let output = zviz(dir.path(), &["state", &"x".repeat(2000)]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "zviz: error: invalid container ID format: 2000 bytes, at most 1024 are allowed\n");
    // Allowed, but no file name.
    let error = String::from_utf8(zviz(dir.path(), &["state", &"x".repeat(1024)]).stderr).unwrap();
    assert!(error.trim_end().ends_with("File name too long"), "{error}");
}

#[test]
fn the_reason_is_the_last_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.json");
    for arguments in [["state", "x"], ["create", "--nope"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_zviz"))
            .arg("--root")
            .arg(dir.path().join("root"))
            .arg("--log")
            .arg(&log)
            .args(["--log-format", "json"])
            .args(arguments)
            .output()
            .unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        let message = line["msg"].as_str().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("zviz: error: {message}\n"));
        assert_eq!(line["time"].as_str().unwrap().len(), "2026-11-21T00:00:00Z".len());
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
}

#[test]
fn help_and_version_succeed() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["help"], &["run", "--help"], &["help", "exec"], &["-v"], &["--version"]] {
        let output = zviz(dir.path(), arguments);
        assert!(output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(), "{arguments:?}");
    }
    let version = String::from_utf8(zviz(dir.path(), &["--version"]).stdout).unwrap();
    assert!(version.starts_with("zviz version ") && version.contains("\nspec: 1."), "{version}");
    let run = String::from_utf8(zviz(dir.path(), &["run", "--help"]).stdout).unwrap();
    assert!(run.contains("-- <COMMAND>") && run.contains("<ID>") && run.contains("127"), "{run}");
}

#[test]
fn spec_writes_once() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().to_str().unwrap();
    assert!(zviz(dir.path(), &["spec", "--bundle", bundle]).status.success());
    let spec: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(spec["process"]["args"], serde_json::json!(["sh"]));
    let again = zviz(dir.path(), &["spec", "--bundle", bundle]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stderr).unwrap().contains("exists: remove it first"));
}

#[test]
fn an_empty_root_is_an_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    let list = |more: &[&str]| String::from_utf8(zviz(dir.path(), &[&["list"], more].concat()).stdout).unwrap();
    assert_eq!(list(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    assert_eq!(list(&["-q"]), "");
    assert_eq!(list(&["--format", "json"]), "[]\n");
    let absent = zviz(&dir.path().join("absent"), &["list"]);
    assert_eq!(absent.status.code(), Some(1), "a root that was named is expected to be there");
}

#[test]
fn a_closed_output_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_zviz"))
        .arg("--root")
        .arg(dir.path())
        .arg("list")
        .stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "zviz: error: No space left on device\n");
}
