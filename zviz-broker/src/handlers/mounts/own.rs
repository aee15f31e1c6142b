//! Paths through a descriptor of the caller's own, `/proc/self/fd/N`: runtimes mount there, so that nobody can change what a
//! path leads to in between. A hand has other descriptors, and its proc would show none; it is given the caller's.

use crate::decision::Work;

/// In the second number of the work: text 1, the target, begins at the first descriptor.
pub(crate) const TARGET: u64 = 1;
/// Text 0, the source, begins at the next one.
pub(crate) const SOURCE: u64 = 2;

/// With the target's descriptor taken out of its path.
pub(super) fn target(mut work: Work) -> Work {
    if let Some((number, rest)) = work.texts[1].as_deref().and_then(split) {
        work.descriptor = Some(number);
        work.numbers[1] |= TARGET;
        work.texts[1] = Some(rest);
    }
    work
}

/// With the source's.
pub(super) fn source(mut work: Work) -> Work {
    if let Some((number, rest)) = work.texts[0].as_deref().and_then(split) {
        work.passed = vec![number];
        work.numbers[1] |= SOURCE;
        work.texts[0] = Some(rest);
    }
    work
}

/// The number, and the path from there on; empty where there is none.
fn split(path: &[u8]) -> Option<(i32, Vec<u8>)> {
    let path = std::str::from_utf8(path).ok()?;
    let inside = ["/proc/self/fd/", "/proc/thread-self/fd/"].iter().find_map(|start| path.strip_prefix(start))?;
    let (number, rest) = inside.split_once('/').unwrap_or((inside, ""));
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let rest = rest.trim_start_matches('/').as_bytes().to_vec();
    number.parse().ok().filter(|_| plain).map(|number| (number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_taken_out_of_a_path() {
        for (path, expected) in [
            ("/proc/self/fd/7", Some((7, ""))),
            ("/proc/self/fd/7/", Some((7, ""))),
            ("/proc/thread-self/fd/12//dev/null", Some((12, "dev/null"))),
            ("/proc/self/fd/", None),
            ("/proc/self/fd/+7", None),
            ("/proc/self/fd/99999999999", None),
            ("/proc/self/ns/net", None),
            ("/proc/1/fd/7", None),
            ("proc/self/fd/7", None),
        ] {
            let expected = expected.map(|(number, rest)| (number, rest.as_bytes().to_vec()));
            assert_eq!(split(path.as_bytes()), expected, "{path}");
        }
    }
}
