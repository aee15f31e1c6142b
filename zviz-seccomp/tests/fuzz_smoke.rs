//! The fuzz targets on their seeds, and on what is near them: a few seconds of what `fuzz/run` does for as long as it is let.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use zviz_seccomp::{fuzz_policy, fuzz_program};

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Numbers without a pattern, the same ones each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        for shift in [13, -7, 17] {
            self.0 ^= if shift < 0 { self.0 >> -shift } else { self.0 << shift };
        }
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Some bytes replaced, put in, taken out, or the beginning of one seed before the end of another.
fn near(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(8) {
        let (at, byte) = (chance.below(bytes.len()), chance.below(256) as u8);
        match chance.below(4) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let other = &seeds[chance.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend(&other[at.min(other.len())..]);
            }
        }
    }
    bytes
}

fn smoke(target: &str, fuzz: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds.iter().for_each(|seed| fuzz(seed));
    let (mut chance, started, mut runs) = (Chance(0x9e37_79b9_7f4a_7c15), Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(3) {
        let bytes = near(&seeds, &mut chance);
        if let Err(panic) = std::panic::catch_unwind(|| fuzz(&bytes)) {
            println!("{target}: {bytes:?}");
            std::panic::resume_unwind(panic);
        }
        runs += 1;
    }
    println!("{target}: {} seeds, {runs} runs", seeds.len());
    assert!(runs > 10, "{runs} runs");
}

#[test]
fn policies() {
    smoke("policy", fuzz_policy);
}

#[test]
fn programs() {
    smoke("program", fuzz_program);
}
