//! The fuzz target of the audit log on its seeds, and on calls made up at random.
#![allow(clippy::unwrap_used)] // a test may

#[path = "../../fuzz/fuzz_targets/audit/record.rs"]
mod record;

use std::path::Path;

#[test]
fn seeds() {
    let seeds = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/audit")).unwrap();
    let checked = seeds.map(|seed| record::check(&std::fs::read(seed.unwrap().path()).unwrap())).count();
    assert!(checked >= 5, "{checked}");
}

proptest::proptest! {
    #[test]
    fn calls(words: [String; 2], arguments: Vec<(proptest::sample::Index, Vec<u8>)>) {
        let kinds = b"npusa46f";
        let arguments = arguments.iter().map(|(kind, rest)| [&[kinds[kind.index(kinds.len())]], &rest[..]].concat());
        let fields: Vec<_> = words.iter().map(|word| word.clone().into_bytes()).chain(arguments).collect();
        record::check(&fields.join(&0xfe));
    }
}
