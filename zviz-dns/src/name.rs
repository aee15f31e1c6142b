//! A domain name as it is compared: in lower case, label by label.

use simple_dns::Label;
use std::fmt;

/// The most bytes of a name as it travels, the last zero among them. RFC 1035, section 2.3.4.
pub(crate) const LONGEST: usize = 255;
const LONGEST_LABEL: usize = 63;

/// A name: for every label its length and its bytes, `A` to `Z` as `a` to `z`, then a zero. A dot within a label is not a
/// border, and no byte ends a name early, so no spelling of one name is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// What is written is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name")]
pub struct NotAName(pub String);

impl Name {
    /// Reads `crates.io`. The empty text is the root, above all names.
    ///
    /// # Errors
    /// Empty labels, ones of more than 63 bytes, and more than 255 bytes in all.
    pub fn of_text(text: &str) -> Result<Name, NotAName> {
        let labels: Vec<&[u8]> =
            if text.is_empty() { Vec::new() } else { text.split('.').map(str::as_bytes).collect() };
        Name::of_labels(labels).ok_or_else(|| NotAName(text.to_owned()))
    }

    /// None where a label or the whole is too long, or a label is empty.
    pub(crate) fn of_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Name> {
        let mut wire = Vec::with_capacity(32);
        for label in labels {
            let length = u8::try_from(label.len()).ok().filter(|_| (1..=LONGEST_LABEL).contains(&label.len()))?;
            wire.push(length);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        wire.push(0);
        (wire.len() <= LONGEST).then(|| Name(wire.into()))
    }

    /// Of one that came in a packet.
    pub(crate) fn of_packet(name: &simple_dns::Name<'_>) -> Option<Name> {
        Name::of_labels(name.as_bytes())
    }

    /// As it travels, uncompressed.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its labels, from the most particular on.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (label, after) = split(rest)?;
            rest = after;
            Some(label)
        })
    }

    /// The names above it as they travel, from the nearest to the root.
    pub(crate) fn above(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            (_, rest) = split(rest)?;
            Some(rest)
        })
    }

    /// For a packet of ours.
    pub(crate) fn to_packet(&self) -> simple_dns::Name<'static> {
        let labels: Vec<_> = self.labels().map(|label| Label::new_unchecked(label.to_vec())).collect();
        simple_dns::Name::new_with_labels(&labels)
    }
}

fn split(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = wire.split_first().filter(|(length, _)| **length > 0)?;
    rest.split_at_checked(usize::from(*length))
}

/// As one writes it, without the last dot; what does not print, a dot within a label and a backslash are `\DDD`, in decimal
/// digits. RFC 1035, section 5.1. The root is a dot.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for label in self.labels() {
            if !std::mem::take(&mut first) {
                f.write_str(".")?;
            }
            for byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{byte:03}")?,
                    b'!'..=b'~' => write!(f, "{}", char::from(*byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        if first { f.write_str(".") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["crates.io", "a", "xn--bcher-kva.example", "_http._tcp.example.org"] {
            assert_eq!(Name::of_text(text).unwrap().to_string(), text);
        }
        assert_eq!(Name::of_text("CRATES.io"), Name::of_text("crates.IO"));
        assert_eq!(Name::of_text("").unwrap().to_string(), ".");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        for text in [".", "a..b", "a.", ".a", &"a".repeat(64), &long] {
            assert!(Name::of_text(text).is_err(), "{text}");
        }
        assert!(Name::of_text(&long[1..]).is_ok());
    }

    #[test]
    fn bytes_of_a_label_are_seen_for_what_they_are() {
        let name = Name::of_labels([&b"evil\0"[..], b"a.b\\", b"\xff\n"]).unwrap();
        assert_eq!(name.to_string(), r"evil\000.a\046b\092.\255\010");
        assert_ne!(Name::of_labels([&b"a.b"[..]]), Name::of_labels([&b"a"[..], b"b"]));
    }

    #[test]
    fn the_names_above() {
        let name = Name::of_text("a.b.c").unwrap();
        let above: Vec<_> = name.above().collect();
        assert_eq!(above, [&b"\x01b\x01c\0"[..], b"\x01c\0", b"\0"]);
        assert_eq!(Name::of_text("").unwrap().above().count(), 0);
    }
}
