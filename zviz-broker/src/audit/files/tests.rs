use super::*;
use crate::audit::{Audit, Event, Sink, Totals};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open_in(folder: &Path, max: u64, keep: u8) -> FileSet {
    FileSet::open(folder, "audit.jsonl", max, keep).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What all files hold, from the oldest line to the youngest.
fn all(folder: &Path) -> Vec<Value> {
    let mut names = names(folder);
    names.sort_by_key(|name| std::cmp::Reverse(name.rsplit('.').next().unwrap().parse().unwrap_or(0)));
    let text: String = names.iter().map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).collect();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines that can be told apart.
fn numbered(audit: &Audit, container: &str, numbers: std::ops::Range<u32>) {
    numbers.for_each(|broker| audit.record(&Event::BrokerStarted { container, broker }));
}

#[test]
fn files_are_ours_alone() {
    let folder = folder();
    drop(open_in(folder.path(), 1000, 2));
    assert_eq!(names(folder.path()), ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]);
    for name in names(folder.path()) {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "").unwrap();
    symlink(at("file"), at("symlink")).unwrap();
    std::fs::write(at("one"), "").unwrap();
    std::fs::hard_link(at("one"), at("two")).unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    std::fs::write(at("open"), "").unwrap();
    std::fs::set_permissions(at("open"), PermissionsExt::from_mode(0o622)).unwrap();
    std::fs::write(at("rotated"), "").unwrap();
    symlink(at("file"), at("rotated.1")).unwrap();
    for (name, error) in [
        ("symlink", "symlink: Too many symbolic links"),
        ("two", "two: a file with another name"),
        ("directory", "directory: Is a directory"),
        ("fifo", "fifo: no regular file"),
        ("open", "open: may be written by other users"),
        ("rotated", "rotated.1: Too many symbolic links"),
        ("", "\"\" is no name"),
        ("..", "\"..\" is no name"),
        ("a/b", "\"a/b\" is no name"),
    ] {
        let is = FileSet::open(folder.path(), name, 1000, 1).unwrap_err().to_string();
        assert!(is.contains(error), "{name}: {is}");
    }
    assert!(FileSet::open(&at("none"), "log", 1000, 1).is_err());
    assert!(FileSet::open(folder.path(), "log", 0, 1).is_err());
    assert!(FileSet::open(folder.path(), "log", 1000, MOST_KEPT + 1).is_err());
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&at("file"), Some(65_534.into()), None).unwrap();
        let is = FileSet::open(folder.path(), "file", 1000, 0).unwrap_err().to_string();
        assert!(is.ends_with("file: owned by another user"), "{is}");
    }
}

#[test]
fn the_oldest_lines_go_first() {
    let folder = folder();
    let audit = Audit::start(Sink::Files(open_in(folder.path(), 1000, 2))).unwrap();
    numbered(&audit, "c", 0..100);
    assert_eq!(audit.finish(SOON), Totals { recorded: 100, written: 100, dropped: 0 });
    assert_eq!(names(folder.path()).len(), 3);
    for name in names(folder.path()) {
        let length = std::fs::metadata(folder.path().join(&name)).unwrap().len();
        assert!((1..=1000).contains(&length), "{name}: {length}");
    }
    let numbers: Vec<_> = all(folder.path()).iter().map(|line| line["broker"].as_u64().unwrap()).collect();
    assert!((20..40).contains(&numbers.len()), "{}", numbers.len());
    assert_eq!(numbers, (100 - numbers.len() as u64..100).collect::<Vec<_>>());
}

#[test]
fn with_nothing_to_keep_the_file_is_emptied() {
    let folder = folder();
    let audit = Audit::start(Sink::Files(open_in(folder.path(), 1000, 0))).unwrap();
    numbered(&audit, "c", 0..100);
    audit.finish(SOON);
    assert_eq!(names(folder.path()), ["audit.jsonl"]);
    assert_eq!(all(folder.path()).last().unwrap()["broker"], 99);
}

#[test]
fn a_line_that_is_larger_than_a_file_is_in_one() {
    let folder = folder();
    let audit = Audit::start(Sink::Files(open_in(folder.path(), 1, 3))).unwrap();
    numbered(&audit, "c", 0..3);
    audit.finish(SOON);
    assert_eq!(all(folder.path()).len(), 3);
}

/// Enough is kept for all lines here, so each must be there once, and those of one broker in their order.
#[test]
fn several_brokers_lose_no_line() {
    let folder = folder();
    let brokers = ["a", "b", "c", "d"];
    std::thread::scope(|scope| {
        for container in brokers {
            let files = open_in(folder.path(), 16 << 10, MOST_KEPT);
            scope.spawn(move || {
                let audit = Audit::start(Sink::Files(files)).unwrap();
                for part in 0..50 {
                    numbered(&audit, container, part * 20..part * 20 + 20);
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(audit.finish(SOON), Totals { recorded: 1000, written: 1000, dropped: 0 });
            });
        }
    });
    let mut of = BTreeMap::<String, Vec<u64>>::new();
    for line in all(folder.path()) {
        of.entry(line["container"].as_str().unwrap().into()).or_default().push(line["broker"].as_u64().unwrap());
    }
    assert_eq!(of.len(), brokers.len());
    for (container, numbers) in of {
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>(), "{container}");
    }
    assert!(names(folder.path()).len() == 1 + usize::from(MOST_KEPT));
    assert!(std::fs::metadata(folder.path().join("audit.jsonl.10")).unwrap().len() > 8 << 10, "it has rotated");
}

#[test]
fn a_lock_that_is_held_delays_and_loses_nothing() {
    let folder = folder();
    let other = open_in(folder.path(), 1000, 1);
    let audit = Audit::start(Sink::Files(open_in(folder.path(), 1 << 20, 1))).unwrap();
    other.current.lock().unwrap();
    numbered(&audit, "c", 0..10);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(all(folder.path()).len(), 0);
    drop(other);
    assert_eq!(audit.finish(SOON), Totals { recorded: 10, written: 10, dropped: 0 });
    assert_eq!(all(folder.path()).len(), 10);
}

#[test]
fn a_lock_whose_holder_is_stopped_is_passed_over() {
    let folder = folder();
    let other = open_in(folder.path(), 1000, 1);
    other.current.lock().unwrap();
    let mut files = open_in(folder.path(), 10, 1);
    assert_eq!(files.lock(), Err(Errno::EAGAIN));
    files.taken_since = Instant::now().checked_sub(Duration::from_secs(11));
    files.lock().unwrap();
    for line in ["first line\n", "second line\n"] {
        files.append(line.as_bytes()).unwrap();
    }
    files.unlock();
    let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(text, "first line\nsecond line\n", "only who has the lock rotates");
}

/// /dev/full takes nothing, as a disk without room.
#[test]
fn a_full_disk_delays_lines() {
    let folder = folder();
    let mut files = open_in(folder.path(), 1000, 1);
    let file = std::mem::replace(&mut files.current, File::options().write(true).open("/dev/full").unwrap());
    files.size = 3;
    files.locked = true;
    assert_eq!(files.append(b"line\n"), Err(Errno::ENOSPC));
    assert!(!files.cut);
    files.current = file;
    files.append(b"line\n").unwrap();
    files.unlock();
    assert_eq!(std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap(), "line\n");
}

/// Older ones cannot be written, so the log grows rather than end.
#[test]
fn a_rotation_that_fails_stops_nothing() {
    let folder = folder();
    let mut files = open_in(folder.path(), 10, 1);
    files.old = vec![File::options().write(true).open("/dev/full").unwrap()];
    let audit = Audit::start(Sink::Files(files)).unwrap();
    numbered(&audit, "c", 0..10);
    assert_eq!(audit.finish(SOON).written, 10);
    let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 10);
}
