//! Names and text of a workload, made harmless for a terminal.

use std::fmt::Write;

/// A name or path on one line: control characters and bytes that are no UTF-8 are escaped, and the backslash with them, so
/// that two names never look alike. What changes the order or place of other characters (Unicode's format characters) is
/// escaped too: CVE-2021-42574.
pub fn name(bytes: &[u8]) -> String {
    escaped(bytes, |c| c == '\\')
}

/// A line of a text for a terminal: as [`name()`], but tabs and backslashes stay.
pub fn line(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('\t').enumerate() {
        if i > 0 {
            out.push('\t');
        }
        out.push_str(&escaped(part.as_bytes(), |_| false));
    }
    out
}

fn escaped(bytes: &[u8], also: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || moves(c) || also(c) => {
                    if c.is_ascii() && c != '\\' {
                        let _ = write!(out, "\\x{:02x}", u32::from(c));
                    } else if c == '\\' {
                        out.push_str("\\\\");
                    } else {
                        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                    }
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Characters that file systems which fold case leave out of a name: those that [`name()`] escapes, and selectors of variants.
pub(crate) fn is_unseen(c: char) -> bool {
    moves(c)
        || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0080}'..='\u{e0fff}')
}

/// Zero width, line and paragraph separators, and everything about direction.
fn moves(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal() {
        assert_eq!(name(b"a\nb\x1b[2J\xff\\x"), "a\\nb\\x1b[2J\\xff\\\\x");
        assert_eq!(name("\u{202e}gpj.é".as_bytes()), "\\u{202e}gpj.é");
        assert_eq!(line("a\tb\\\u{9b}"), "a\tb\\\\u{9b}");
    }
}
