use super::*;
use std::io::Read;

fn line() -> Line<'static> {
    Line::Name { verdict: "deny", rule: "network.allow_domains", name: "a.example", kind: 1, why: None }
}

#[test]
fn a_full_pipe_is_not_waited_for_and_what_is_missing_is_said() {
    let (reader, writer) = std::io::pipe().unwrap();
    let now = Instant::now();
    let mut events = Events::new(Destination::Descriptor(writer.into()), "c", now);
    assert!(matches!(events.to, To::Descriptor(_, Way::Own)));
    // 900 lines of 130 bytes do not fit 64 KiB.
    for _ in 0..900 {
        events.write(now, &line());
    }
    assert!(events.dropped > 100);
    let mut some = vec![0; 32 << 10];
    (&reader).read_exact(&mut some).unwrap();
    let missing = events.dropped;
    events.write(now, &line());
    assert_eq!(events.dropped, 0);
    drop(events);
    // The first was cut by what was read.
    let mut text = String::from_utf8(some).unwrap();
    let mut reader = reader;
    reader.read_to_string(&mut text).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: u64 = lines.iter().filter_map(|line| line["records"].as_u64()).sum();
    assert_eq!((told, lines.last().unwrap()["event"].as_str()), (missing, Some("name")));
    assert_eq!(lines.len() as u64 + missing, 902);
}

#[test]
fn too_many_are_dropped() {
    let file = tempfile::tempfile().unwrap();
    let mut now = Instant::now();
    let mut events = Events::new(Destination::Descriptor(file.try_clone().unwrap().into()), "c", now);
    for _ in 0..BURST + 50 {
        events.write(now, &line());
    }
    assert_eq!(events.dropped, 50);
    now += Duration::from_millis(15);
    events.write(now, &line());
    events.write(now, &line());
    assert_eq!(events.dropped, 1);
}

#[test]
fn who_has_gone_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut events = Events::new(Destination::Descriptor(writer.into()), "c", Instant::now());
    events.write(Instant::now(), &line());
    assert_eq!(events.dropped, 1);
}

#[test]
fn a_socket_is_not_waited_for() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let now = Instant::now();
    let mut events = Events::new(Destination::Descriptor(ours.into()), "c", now);
    assert!(matches!(events.to, To::Descriptor(_, Way::Socket)));
    for _ in 0..BURST {
        for _ in 0..10 {
            events.left = BURST;
            events.write(now, &line());
        }
    }
    assert!(events.dropped > 0);
    drop(theirs);
}

/// Opens a record in a folder, as the runtime does, and gives what the helper makes of it.
fn record(folder: &std::path::Path, most: u64) -> Destination {
    let files = FileSet::open(folder, "audit", most, 2).unwrap();
    let mut all = files.descriptors().into_iter().map(|fd| fd.try_clone_to_owned().unwrap());
    let first = all.next().unwrap();
    Destination::of(first, all.collect(), Some(files.max_bytes()))
}

#[test]
fn a_record_is_rotated_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut events = Events::new(record(folder.path(), 20_000), "c", now);
    // Some 130 bytes each.
    for _ in 0..300 {
        events.write(now, &line());
    }
    events.finish();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (first, one, two) = (read("audit"), read("audit.1"), read("audit.2"));
    assert!([&first, &one, &two].iter().all(|text| text.len() <= 20_000 && text.ends_with('\n')));
    assert_eq!([first, one, two].concat().lines().count(), 300);
    assert_eq!(events.dropped, 0);
}

#[test]
fn who_else_writes_to_a_record_is_not_waited_for_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut events = Events::new(record(folder.path(), 1 << 20), "c", now);
    let other = std::fs::File::open(folder.path().join("audit")).unwrap();
    other.lock().unwrap();
    for _ in 0..10 {
        events.write(now, &line());
    }
    assert_eq!(events.due(now), Some(now + AGAIN));
    let lines = || std::fs::read_to_string(folder.path().join("audit")).unwrap().lines().count();
    assert_eq!(lines(), 0);
    other.unlock().unwrap();
    events.finish();
    assert_eq!((lines(), events.due(now), events.dropped), (10, None, 0));
    // And no more waits than there is room for.
    other.lock().unwrap();
    for _ in 0..900 {
        events.write(now, &line());
    }
    assert!(events.rest.len() <= MOST_WAITING && events.dropped > 100, "{}", events.dropped);
    other.unlock().unwrap();
    let missing = events.dropped;
    events.write(now, &line());
    events.finish();
    assert_eq!(lines() as u64 + missing, 912);
}
