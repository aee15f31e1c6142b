//! The fuzz target of reports on its seeds, and on what is made up at random.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

#[path = "../../fuzz/fuzz_targets/reports/headers.rs"]
mod headers;

use std::path::Path;

#[test]
fn seeds() {
    let seeds = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/reports")).unwrap();
    let found: usize = seeds.map(|seed| headers::check(&std::fs::read(seed.unwrap().path()).unwrap())).sum();
    assert!(found >= 3, "{found}");
}

proptest::proptest! {
    #[test]
    fn bytes(first: u8, mut rest: Vec<u8>) {
        // Of each version, so that most of them are read further.
        rest.resize(rest.len().max(60), first);
        for version in [0x45, 0x4f, 0x60] {
            rest[0] = version;
            headers::check(&rest);
        }
    }

    #[test]
    fn messages(prefix: Vec<u8>, payload: Vec<u8>, cut: usize) {
        use zviz_net::attributes::Writing;
        let written = Writing::netfilter(0x400, 0, 1, 0, 53).with(10, &prefix).with(9, &payload).bytes();
        headers::check(&written);
        headers::check(&written[..cut % (written.len() + 1)]);
    }
}
