//! The fuzz targets of the audit log, of decisions and of the replies to questions on their seeds, and on what is made up at
//! random.
#![allow(clippy::unwrap_used)] // a test may

#[path = "../../fuzz/fuzz_targets/decide/oracle.rs"]
mod oracle;
#[path = "../../fuzz/fuzz_targets/audit/record.rs"]
mod record;
#[path = "../../fuzz/fuzz_targets/ask/replies.rs"]
mod replies;

use std::path::Path;

#[test]
fn replies_in_pieces() {
    let seeds = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/ask")).unwrap();
    let checked = seeds.map(|seed| replies::check(&std::fs::read(seed.unwrap().path()).unwrap())).count();
    assert!(checked >= 5, "{checked}");
}

#[test]
fn seeds() {
    let seeds = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/audit")).unwrap();
    let checked = seeds.map(|seed| record::check(&std::fs::read(seed.unwrap().path()).unwrap())).count();
    assert!(checked >= 5, "{checked}");
}

#[test]
fn decisions() {
    let mut done = 0;
    for seed in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/decide")).unwrap() {
        let seed = seed.unwrap();
        let (name, data) = (seed.file_name().into_string().unwrap(), std::fs::read(seed.path()).unwrap());
        let entry = zviz_broker::table::TABLE[usize::from(data[0])].name;
        assert!(name.starts_with(entry), "the seed {name} is a call of {entry}: the table has changed");
        done += u32::from(oracle::check(&data));
    }
    assert!(done >= 17, "{done}");
}

proptest::proptest! {
    #[test]
    fn decided(entry: u8, args: [u64; 6], small: [u8; 6], mask: u8, says: Vec<u8>) {
        let args = (0..6).flat_map(|i| if mask >> i & 1 == 1 { args[i] } else { u64::from(small[i]) }.to_le_bytes());
        let call: Vec<u8> = std::iter::once(entry).chain(args).chain(says).collect();
        oracle::check(&call);
    }

    #[test]
    fn lines(lines: Vec<(u64, bool, Option<String>)>) {
        let line = |(id, allow, noise): &(u64, bool, Option<String>)| {
            let verdict = if *allow { "allow" } else { "deny" };
            format!("{{\"id\":{id},\"verdict\":\"{verdict}\"}}{}\n", noise.as_deref().unwrap_or_default())
        };
        replies::check(lines.iter().map(line).collect::<String>().as_bytes());
    }

    #[test]
    fn calls(words: [String; 2], arguments: Vec<(proptest::sample::Index, Vec<u8>)>) {
        let kinds = b"npusa46f";
        let arguments = arguments.iter().map(|(kind, rest)| [&[kinds[kind.index(kinds.len())]], &rest[..]].concat());
        let fields: Vec<_> = words.iter().map(|word| word.clone().into_bytes()).chain(arguments).collect();
        record::check(&fields.join(&0xfe));
    }
}
