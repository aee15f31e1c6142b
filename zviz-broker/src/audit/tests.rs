use super::*;
use serde_json::Value;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Instant;
use zviz_sys::Errno;

const SOON: Duration = Duration::from_secs(30);

fn decision<'a>(container: &'a str, arguments: &'a [(&'a str, Argument<'a>)]) -> Event<'a> {
    Event::Decision(Decision {
        container,
        pid: 4422,
        syscall: "openat",
        arguments,
        verdict: Verdict::Errno(Errno::EACCES),
        rule: Some("files.deny"),
        latency: Duration::from_nanos(12_900),
    })
}

fn line(event: &Event<'_>) -> Value {
    let bytes = event.to_line();
    let (end, json) = bytes.split_last().unwrap();
    assert_eq!((*end, json.iter().find(|b| b.is_ascii_control())), (b'\n', None));
    serde_json::from_slice(json).unwrap()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"));
    bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

/// Decisions that are there, and those that are said to be missing.
fn count(lines: &[Value]) -> (u64, u64) {
    let missing = lines.iter().filter_map(|l| l["records"].as_u64()).sum();
    (lines.iter().filter(|l| l["type"] == "decision").count() as u64, missing)
}

#[test]
fn a_decision_in_json() {
    let arguments = [("path", Argument::Path(b"/etc/shadow")), ("flags", Argument::Flags(&["O_RDONLY"], 0))];
    let bytes = decision("web-1", &arguments).to_line();
    let text = String::from_utf8(bytes).unwrap();
    let (time, rest) = text.strip_prefix("{\"time\":\"").unwrap().split_at("2026-11-21T00:38:15.120034Z".len());
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let expected = r#"","type":"decision","container":"web-1","pid":4422,"syscall":"openat","#.to_owned()
        + r#""arguments":{"path":"/etc/shadow","flags":["O_RDONLY"]},"verdict":"errno EACCES","#
        + r#""rule":"files.deny","latency_us":12}"#
        + "\n";
    assert_eq!(rest, expected);
}

#[test]
fn the_other_events_in_json() {
    let ask = Ask { container: "c", id: 9, pid: 1, syscall: "connect", arguments: &[], rule: None };
    let by = "client \u{1b}[2J";
    let answered = Event::Answered { ask, by, verdict: Verdict::Failed("no\none"), latency: Duration::ZERO };
    let died = Event::PartDied { container: "c", part: Part::Hands, how: "signal 9", then: "degrade" };
    for (event, kind, fields) in [
        (Event::Asked(ask), "asked", vec![("id", Value::from(9)), ("syscall", "connect".into())]),
        (answered, "answered", vec![("by", r"client \u{1b}[2J".into()), ("verdict", r"failed: no\none".into())]),
        (Event::BrokerStarted { container: "c", broker: 3 }, "broker_started", vec![("broker", 3.into())]),
        (Event::BrokerEnded { container: "c", broker: 3, why: "w" }, "broker_ended", vec![("why", "w".into())]),
        (died, "part_died", vec![("part", "hands".into()), ("then", "degrade".into())]),
        (Event::Dropped { records: 5, broker: 3 }, "dropped", vec![("records", 5.into())]),
    ] {
        let line = line(&event);
        assert_eq!(line["type"], kind);
        fields.into_iter().for_each(|(key, value)| assert_eq!(line[key], value, "{kind}.{key}"));
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_one_line(container: String, path: Vec<u8>, name: String, other: Vec<u8>, n: i64) {
        let list = [Argument::Address(Address::Unix(&other)), Argument::Number(n), Argument::Path(&path)];
        let arguments = [("path", Argument::Path(&path)), (&name[..], Argument::List(&list))];
        let event = decision(&container, &arguments);
        let line = line(&event);
        let shown = line["arguments"][&text::Text::new(name.as_bytes(), 64).to_string()][2].as_str();
        proptest::prop_assert_eq!(text::tests::parse(shown.unwrap()), (path.clone(), 0));
        proptest::prop_assert_eq!(text::tests::parse(line["container"].as_str().unwrap()).0, container.as_bytes());
        let fields = journal::tests::parse(&event.to_journal_entry());
        proptest::prop_assert!(serde_json::from_slice::<Value>(&fields["MESSAGE"]).is_ok());
    }
}

#[test]
fn nothing_is_recorded_without_a_sink() {
    let audit = Audit::none();
    audit.record(&decision("c", &[]));
    assert_eq!(audit.finish(SOON), Totals::default());
}

#[test]
fn a_pipe_gets_every_line_and_then_its_end() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let audit = Audit::start(Sink::Descriptor(writer.into())).unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let audit = &audit;
            scope.spawn(move || (0..500).for_each(|_| audit.record(&decision(name, &[]))));
        }
    });
    assert_eq!(audit.finish(SOON), Totals { recorded: 1000, written: 1000, dropped: 0 });
    assert_eq!(count(&lines(&read.join().unwrap())), (1000, 0));
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed() {
    let (reader, writer) = UnixStream::pair().unwrap();
    let audit = Audit::start(Sink::Descriptor(writer.into())).unwrap();
    let path = [0x1b; 4096];
    let arguments = [("path", Argument::Path(&path))];
    let recorded = 3 * queue::LIMIT / path.len();
    (0..recorded).for_each(|_| audit.record(&decision("c", &arguments)));
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        (&reader).read_to_end(&mut bytes).unwrap();
        lines(&bytes)
    });
    let totals = audit.finish(SOON);
    assert_eq!(totals.recorded, recorded as u64);
    assert_eq!(totals.recorded, totals.written + totals.dropped);
    assert!(totals.dropped > 0);
    let lines = read.join().unwrap();
    assert_eq!(count(&lines), (totals.written, totals.dropped));
    assert_eq!(lines.last().unwrap()["type"], "dropped", "it stands where they are missing");
}

/// The pipe is full, and stays so.
#[test]
fn a_reader_that_never_reads_holds_nobody() {
    let (reader, writer) = std::io::pipe().unwrap();
    let audit = Audit::start(Sink::Descriptor(writer.into())).unwrap();
    let begun = Instant::now();
    let path = [b'a'; 4096];
    let arguments = [("path", Argument::Path(&path))];
    (0..10_000).for_each(|_| audit.record(&decision("c", &arguments)));
    let totals = audit.finish(Duration::from_millis(50));
    assert!(begun.elapsed() < SOON / 3, "{:?}", begun.elapsed());
    assert_eq!(totals.recorded, 10_000);
    assert_eq!(totals.recorded, totals.written + totals.dropped);
    assert!(totals.written < 100 && totals.dropped > 9_000, "{totals:?}");
    drop(reader);
}

#[test]
fn a_reader_that_is_gone_raises_no_signal() {
    for sink in [|| UnixStream::pair().unwrap().0.into(), || OwnedFd::from(std::io::pipe().unwrap().1)] {
        let audit = Audit::start(Sink::Descriptor(sink())).unwrap();
        audit.record(&decision("c", &[]));
        let begun = Instant::now();
        let totals = audit.finish(Duration::from_millis(50));
        assert_eq!(totals, Totals { recorded: 1, written: 0, dropped: 1 });
        assert!(begun.elapsed() < SOON / 3);
    }
}

#[test]
fn journald_gets_even_the_longest_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let journald = UnixDatagram::bind(&path).unwrap();
    journald.set_read_timeout(Some(SOON)).unwrap();
    let audit = Audit::start(Sink::Journal(journal::connect_to(&path).unwrap())).unwrap();
    let worst = [0x1b; 4096];
    let arguments = [("a", Argument::Path(&worst)), ("b", Argument::Path(&worst)), ("c", Argument::Path(&worst))];
    let long = "\u{1b}".repeat(1 << 16);
    let Event::Decision(worst) = decision(&long, &arguments) else { unreachable!() };
    let (verdict, rule) = (Verdict::Failed(&long), Some(&*long));
    audit.record(&Event::Decision(Decision { syscall: &long, verdict, rule, ..worst }));
    audit.record(&Event::BrokerStarted { container: "web-1", broker: 1 });
    assert_eq!(audit.finish(SOON), Totals { recorded: 2, written: 2, dropped: 0 });
    let mut buffer = vec![0; 1 << 20];
    for kind in ["decision", "broker_started"] {
        let length = journald.recv(&mut buffer).unwrap();
        let fields = journal::tests::parse(&buffer[..length]);
        assert_eq!(fields["ZVIZ_TYPE"], kind.as_bytes());
        let message: Value = serde_json::from_slice(&fields["MESSAGE"]).unwrap();
        assert_eq!(message["type"], kind);
    }
    assert!(journal::connect_to(&directory.path().join("none")).is_err());
}
