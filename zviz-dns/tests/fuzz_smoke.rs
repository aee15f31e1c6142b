//! The fuzz target of the resolver on its seeds, and on what is made up at random.
#![allow(clippy::unwrap_used)] // a test may

#[path = "../../fuzz/fuzz_targets/resolver/oracle.rs"]
mod oracle;

use std::path::Path;

#[test]
fn seeds() {
    let seeds = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/resolver")).unwrap();
    let (mut left, mut given) = (0, 0);
    for seed in seeds {
        let (asked, addresses) = oracle::check(&std::fs::read(seed.unwrap().path()).unwrap());
        left += asked;
        given += addresses;
    }
    // The seeds are plays in which something happens.
    assert!(left >= 6 && given >= 4, "{left} questions left, {given} addresses were given");
}

proptest::proptest! {
    #[test]
    fn plays(acts: Vec<(u8, u8, Vec<u8>)>, all: bool) {
        let acts = acts.iter().flat_map(|(act, first, raw)| {
            let raw = &raw[..raw.len().min(255)];
            [&[*act, *first, raw.len() as u8], raw].concat()
        });
        oracle::check(&std::iter::once(u8::from(all) << 7).chain(acts).collect::<Vec<u8>>());
    }
}
