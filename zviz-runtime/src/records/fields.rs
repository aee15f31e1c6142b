//! `name=value name="value"`: the fields of a record.

/// More are in no record of the kernel's.
const MOST: usize = 64;

/// Modes of AppArmor behind a label: aa_label_asxprint, security/apparmor/label.c.
const MODES: &[&str] = &["(enforce)", "(complain)", "(kill)", "(mixed)", "(prompt)", "(user)", "(unconfined)"];

/// The fields of a record, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(&'a str, Value<'a>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    /// A number, a fixed word, or a stranger's in hexadecimal digits.
    Plain(&'a str),
    /// Fixed words, or a stranger's in which nothing ends a quotation: `audit_log_untrustedstring`, kernel/audit.c.
    Quoted(&'a str),
}

impl<'a> Fields<'a> {
    /// Reads them all. None where anything is not a field, or a name comes twice: such a text is not the kernel's.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Fields<'a>> {
        let mut fields: Vec<(&str, Value<'_>)> = Vec::new();
        let mut rest = text.trim_matches(' ');
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(is_name) || fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            let value = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (inside, after) = quoted.split_once('"')?;
                    if !(after.is_empty() || after.starts_with(' ')) {
                        return None;
                    }
                    rest = after;
                    Value::Quoted(inside)
                }
                None => {
                    let (word, after) = after.split_once(' ').unwrap_or((after, ""));
                    // AppArmor's label, with what becomes of denials: `subj=zviz-1 (enforce)`.
                    let after =
                        if name == "subj" { MODES.iter().find_map(|mode| after.strip_prefix(mode)) } else { None }
                            .unwrap_or(after);
                    if word.contains('"') {
                        return None;
                    }
                    rest = after;
                    Value::Plain(word)
                }
            };
            if fields.len() == MOST {
                return None;
            }
            fields.push((name, value));
            rest = rest.trim_start_matches(' ');
        }
        Some(Fields(fields))
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The kernel's own word, quoted or not.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::Plain(word) | Value::Quoted(word) => Some(word),
        }
    }

    /// A number in decimal digits.
    #[must_use]
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        match self.get(name)? {
            Value::Plain(word) => word.parse().ok().filter(|_| !word.starts_with('+')),
            Value::Quoted(_) => None,
        }
    }

    /// A number in hexadecimal digits, without a prefix.
    #[must_use]
    pub fn hexadecimal(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Plain(word) => u64::from_str_radix(word, 16).ok().filter(|_| !word.starts_with('+')),
            Value::Quoted(_) => None,
        }
    }

    /// A number of 32 bits in hexadecimal digits behind `0x`.
    #[must_use]
    pub fn prefixed(&self, name: &str) -> Option<u32> {
        let digits = self.word(name)?.strip_prefix("0x")?;
        u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
    }

    /// A stranger's bytes: quoted as they are, or in pairs of hexadecimal digits.
    #[must_use]
    pub fn untrusted(&self, name: &str) -> Option<Vec<u8>> {
        let digits = match self.get(name)? {
            Value::Quoted(inside) => return Some(inside.as_bytes().to_vec()),
            Value::Plain(digits) => digits.as_bytes(),
        };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, odd) = digits.as_chunks::<2>();
        if !odd.is_empty() || pairs.is_empty() {
            return None;
        }
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_writes_stays_in_its_field() {
        // What the kernel makes of `a" pid=1 x="`, and of `cat`.
        let text = r#"name=612220706964203D2031 pid=7 comm="cat" info="two words, three" key=(null)"#;
        let fields = Fields::read(text).unwrap();
        assert_eq!(fields.untrusted("name").unwrap(), b"a\" pid = 1");
        assert_eq!(fields.untrusted("comm").unwrap(), b"cat");
        assert_eq!((fields.number::<i32>("pid"), fields.word("info")), (Some(7), Some("two words, three")));
        assert_eq!(fields.untrusted("key"), None);
        assert_eq!(fields.number::<i32>("comm"), None);
        assert_eq!(fields.word("nothing"), None);
    }

    #[test]
    fn what_is_no_field_spoils_all() {
        for text in [
            "pid=1 pid=2",
            "name=\"a\"pid=2",
            "name=\"a pid=2",
            "pid=1 word",
            "=1",
            "a b=1",
            "name=a\"b",
            "na\"me=1",
            "name=\"a\"\"b\"",
        ] {
            assert_eq!(Fields::read(text), None, "{text}");
        }
        let many: Vec<String> = (0..=MOST).map(|number| format!("a{number}=1")).collect();
        assert_eq!(Fields::read(&many.join(" ")), None);
        assert!(Fields::read(&many[1..].join(" ")).is_some());
        assert_eq!(Fields::read("").unwrap().word("a"), None);
        for digits in ["0", "0g", "-1", "+1"] {
            let text = format!("a={digits}");
            assert_eq!(Fields::read(&text).unwrap().untrusted("a"), None, "{digits}");
        }
    }
}
