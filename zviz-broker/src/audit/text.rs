//! Bytes of a stranger as text that can be printed.
//!
//! A character that prints stands for itself; every other one is written as Rust's `escape_debug` has it (`\n`,
//! `\u{1b}`, a backslash doubled), and a byte that belongs to no character as `\xff`. So terminal escapes, line ends,
//! C1 controls, bidirectional overrides and invisible characters are seen for what they are, and the bytes can be had
//! back. What was cut ends with `\{+COUNT bytes}`, which no content can look like.

use serde::{Serialize, Serializer};
use std::fmt::{Display, Formatter};

/// The longest string that is kept, in bytes as they came: any path that the kernel takes.
pub const LONGEST: usize = 4096;

/// Bytes, of which `keep` are shown.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    keep: usize,
}

impl<'a> Text<'a> {
    /// Shows at most `keep` bytes, and never more than `LONGEST`.
    #[must_use]
    pub fn new(bytes: &'a [u8], keep: usize) -> Text<'a> {
        Text { bytes, keep: keep.min(LONGEST) }
    }
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (kept, cut) = self.bytes.split_at(self.keep.min(self.bytes.len()));
        for chunk in kept.utf8_chunks() {
            let mut rest = chunk.valid();
            while !rest.is_empty() {
                let (plain, after) = rest.split_at(rest.find(|c| !prints(c)).unwrap_or(rest.len()));
                f.write_str(plain)?;
                let mut chars = after.chars();
                if let Some(c) = chars.next() {
                    write!(f, "{}", c.escape_debug())?;
                }
                rest = chars.as_str();
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if cut.is_empty() { Ok(()) } else { write!(f, "\\{{+{} bytes}}", cut.len()) }
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a character stands for itself. Quotes are for the JSON around it to care about.
fn prints(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic() && c != '\\' || !c.is_ascii() && c.escape_debug().eq([c])
}

/// For words of ours, such as a container's name: bounded and escaped all the same.
pub(super) fn words(text: &str) -> Text<'_> {
    Text::new(text.as_bytes(), LONGEST / 4)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes that a text shows, and how many it says were cut.
    pub(in crate::audit) fn parse(text: &str) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                bytes.extend(c.to_string().as_bytes());
                continue;
            }
            match chars.next().unwrap() {
                'x' => bytes.push(u8::from_str_radix(&chars.by_ref().take(2).collect::<String>(), 16).unwrap()),
                'u' => {
                    let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    let c = char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap();
                    bytes.extend(c.to_string().as_bytes());
                }
                '{' => {
                    let cut = chars.as_str().strip_prefix('+').unwrap().strip_suffix(" bytes}").unwrap();
                    return (bytes, cut.parse().unwrap());
                }
                escape => bytes.push(match escape {
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    '0' => 0,
                    '\\' => b'\\',
                    other => panic!("\\{other}"),
                }),
            }
        }
        (bytes, 0)
    }

    fn shown(bytes: &[u8]) -> String {
        Text::new(bytes, LONGEST).to_string()
    }

    #[test]
    fn what_prints_stands_for_itself() {
        for text in ["", "/usr/bin/env", "a b \"c\" 'd'", "/home/håkon/日本語/😀"] {
            assert_eq!(shown(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_does_not_print_is_escaped() {
        for (bytes, text) in [
            (&b"a\nb\r\t\0"[..], r"a\nb\r\t\0"),
            (b"\x1b[2J\x07\x7f", r"\u{1b}[2J\u{7}\u{7f}"),
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            ("a\u{202e}b\u{2066}\u{200b}\u{feff}\u{2028}".as_bytes(), r"a\u{202e}b\u{2066}\u{200b}\u{feff}\u{2028}"),
            (b"/\xff\xfe/\xc3", r"/\xff\xfe/\xc3"),
            (br"\{+9 bytes}", r"\\{+9 bytes}"),
            (br"\xff", r"\\xff"),
        ] {
            assert_eq!(shown(bytes), text);
            assert_eq!(parse(text), (bytes.to_vec(), 0));
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(Text::new(b"abcdef", 4).to_string(), r"abcd\{+2 bytes}");
        assert_eq!(Text::new("aå".as_bytes(), 2).to_string(), r"a\xc3\{+1 bytes}");
        let long = vec![b'a'; 1 << 20];
        let (kept, cut) = parse(&Text::new(&long, usize::MAX).to_string());
        assert_eq!((kept.len(), cut), (LONGEST, (1 << 20) - LONGEST));
    }

    proptest::proptest! {
        #[test]
        fn the_bytes_can_be_had_back(bytes: Vec<u8>, keep in 0..64usize) {
            let text = Text::new(&bytes, keep).to_string();
            let (kept, cut) = parse(&text);
            proptest::prop_assert_eq!(&kept[..], &bytes[..keep.min(bytes.len())]);
            proptest::prop_assert_eq!(kept.len() + cut, bytes.len());
            proptest::prop_assert!(text.chars().all(|c| c == '\\' || prints(c)));
        }
    }
}
