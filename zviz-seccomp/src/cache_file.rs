//! A file of the cache.
//!
//! ```text
//! magic, 8 bytes | hash of all that follows, 8 | three lengths, 4 each | key | program | names skipped and shadowed
//! ```
//! Numbers are in this machine's byte order, as the program is.

use crate::{Arch, Compiled, INSTRUCTION_SIZE, MAX_INSTRUCTIONS, Policy, Program};

const MAGIC: [u8; 8] = *b"zvizbpf\x02";
const HEADER: usize = 8 + 8 + 12;
/// No file is larger: the longest program, and a policy that names every call a thousand times.
pub const MAX_FILE: usize = 4 << 20;

/// Everything that the program depends on. `None` for a policy too large to keep.
pub fn key(policy: &Policy) -> Option<Vec<u8>> {
    let versions = (env!("CARGO_PKG_VERSION"), crate::libseccomp_version(), Arch::native());
    let key = serde_json::to_vec(&(versions, policy)).ok()?;
    (key.len() < MAX_FILE / 2).then_some(key)
}

/// The name of a key's file.
pub fn name(key: &[u8]) -> String {
    format!("{:016x}{:016x}.bpf", hash(key, 0x243f_6a88_85a3_08d3), hash(key, 0x1319_8a2e_0370_7344))
}

pub fn encode(compiled: &Compiled, key: &[u8]) -> Vec<u8> {
    let program = compiled.program.as_bytes();
    let names = serde_json::to_vec(&(&compiled.skipped, &compiled.shadowed)).unwrap_or_default();
    let parts = [key, &program, &names];
    let mut body: Vec<u8> = parts.iter().flat_map(|part| (part.len() as u32).to_ne_bytes()).collect();
    parts.iter().for_each(|part| body.extend_from_slice(part));
    [&MAGIC[..], &hash(&body, 0).to_ne_bytes(), &body].concat()
}

/// The content of a file, if it is whole and of this key.
pub fn decode(bytes: &[u8], key: &[u8]) -> Option<Compiled> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, body) = rest.split_first_chunk::<8>()?;
    if *magic != MAGIC || hash(body, 0).to_ne_bytes() != *sum {
        return None;
    }
    let (lengths, content) = body.split_first_chunk::<12>()?;
    let (lengths, _) = lengths.as_chunks::<4>();
    let mut lengths = lengths.iter().map(|length| u32::from_ne_bytes(*length) as usize);
    let (found, content) = content.split_at_checked(lengths.next()?)?;
    let (program, names) = content.split_at_checked(lengths.next()?)?;
    if found != key || names.len() != lengths.next()? {
        return None;
    }
    let (skipped, shadowed) = serde_json::from_slice(names).ok()?;
    Some(Compiled { program: Program::from_bytes(program).ok()?, skipped, shadowed })
}

/// Mixes eight bytes at a time: against accidents, and to spread names. Who can write here is the caller already.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let all = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word)).chain([bytes.len() as u64]);
    all.fold(seed, |hash, word| {
        let mixed = (hash ^ word).wrapping_mul(ODD);
        mixed ^ (mixed >> 29)
    })
}

const _: () = assert!(HEADER + MAX_INSTRUCTIONS * INSTRUCTION_SIZE < MAX_FILE / 2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Rule, compile};

    fn sample() -> (Compiled, Vec<u8>) {
        let mut policy = Policy::new(Action::Errno(1));
        policy.rules = vec![Rule::new(["read", "made_up"], Action::Allow)];
        (compile(&policy).unwrap(), key(&policy).unwrap())
    }

    #[test]
    fn what_is_written_is_read() {
        let (compiled, key) = sample();
        assert_eq!(compiled.skipped, ["made_up"]);
        assert_eq!(decode(&encode(&compiled, &key), &key), Some(compiled));
    }

    #[test]
    fn nothing_damaged_is_read() {
        let (compiled, key) = sample();
        let file = encode(&compiled, &key);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged, &key), None, "byte {at}");
            assert_eq!(decode(&file[..at], &key), None, "cut at {at}");
        }
        assert_eq!(decode(&file, &[&key[..], b" "].concat()), None);
    }

    #[test]
    fn names_follow_content() {
        let names: std::collections::BTreeSet<String> = (0..2000u32).map(|n| name(&n.to_le_bytes())).collect();
        assert_eq!(names.len(), 2000);
        assert_ne!(name(b""), name(b"\0"));
        assert!(names.iter().all(|name| name.len() == 36));
    }
}
