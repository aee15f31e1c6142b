use super::*;
use std::io::Read;

fn line() -> Line<'static> {
    Line::Name { verdict: "deny", rule: "network.allow_domains", name: "a.example", kind: 1, why: None }
}

#[test]
fn a_full_pipe_is_not_waited_for_and_what_is_missing_is_said() {
    let (reader, writer) = std::io::pipe().unwrap();
    let now = Instant::now();
    let mut events = Events::new(writer.into(), "c", now);
    assert_eq!(events.way, Way::Own);
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
    let mut events = Events::new(file.try_clone().unwrap().into(), "c", now);
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
    let mut events = Events::new(writer.into(), "c", Instant::now());
    events.write(Instant::now(), &line());
    assert_eq!(events.dropped, 1);
}

#[test]
fn a_socket_is_not_waited_for() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let now = Instant::now();
    let mut events = Events::new(ours.into(), "c", now);
    assert_eq!(events.way, Way::Socket);
    for _ in 0..BURST {
        for _ in 0..10 {
            events.left = BURST;
            events.write(now, &line());
        }
    }
    assert!(events.dropped > 0);
    drop(theirs);
}
