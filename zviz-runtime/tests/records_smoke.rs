//! The fuzz target of reports, as far as it reads what the kernel records of denials, on its seeds and on what is near them.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

#[path = "../../fuzz/fuzz_targets/reports/records.rs"]
mod records;

use std::path::Path;

fn seed(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/reports").join(name)).unwrap()
}

#[test]
fn seeds() {
    assert_eq!((records::check(&seed("log")), records::check(&seed("file"))), (6, 5));
    // What the kernel's packets look like is none.
    assert_eq!(records::check(&seed("four")), 0);
}

proptest::proptest! {
    #[test]
    fn near_them(file: bool, at: usize, length in 0..40_usize, with in "[a-z0-9\"={} :,/A-F\\n]{0,20}") {
        let mut text = seed(if file { "file" } else { "log" });
        let at = at % text.len();
        let end = (at + length).min(text.len());
        text.splice(at..end, with.into_bytes());
        records::check(&text);
    }

    #[test]
    fn bytes(data: Vec<u8>) {
        records::check(&data);
    }
}
