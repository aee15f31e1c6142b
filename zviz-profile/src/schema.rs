//! Every key that a profile can have. The checker, the JSON Schema, the manual and the test that none is ignored read this
//! table.

pub(crate) mod sections;

pub use sections::ROOT;

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand behind it.
    pub kind: Kind,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// What becomes of it.
    pub does: Does,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It holds others.
    Holds,
    /// It is for readers.
    Describes,
    /// By whom.
    Enforced(&'static str),
    /// Whoever writes it is told why it cannot be had.
    Refused(&'static str),
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Anything in one line.
    Text,
    /// The name of a profile.
    Name,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number within.
    Count(u64, u64),
    /// Bytes, with a unit or without.
    Size,
    /// A time, with a unit; seconds without.
    Time,
    /// Milliseconds.
    Milliseconds,
    /// Processors (`0.5`), or quota and period in microseconds (`50000 100000`).
    Cpu,
    /// An absolute path of the inside; `~` is the home folder.
    Path,
    /// An absolute path in which `*` and `**` stand for others; without a slash, a name in any folder.
    Glob,
    /// A network address with its prefix's length, with a protocol before it or not, with ports behind it or not.
    Peers,
    /// The name of a host, with `*.` before it or not, with a port or not.
    Host,
    /// An address and a port.
    Server,
    /// A port, or `from-to`.
    Port,
    /// `major:minor`.
    Device,
    /// A system call by name or number, or a group of them with an `@`.
    Call,
    /// A driver call by name or number.
    Command,
    /// A capability, with `CAP_` or without.
    Capability,
    /// Any number of these.
    List(&'static Kind),
    /// These keys and no others.
    Map(&'static [Key]),
}

impl Kind {
    /// In words, for errors and the manual.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Kind::Text => "text".into(),
            Kind::Name => "the name of a profile".into(),
            Kind::Flag => "true or false".into(),
            Kind::Word(words) => words.join(", "),
            Kind::Count(from, to) if *to == u64::MAX => format!("a whole number from {from}"),
            Kind::Count(from, to) => format!("a whole number from {from} to {to}"),
            Kind::Size => "a size such as 512M or 1.5Gi".into(),
            Kind::Time => "a time such as 30s or 5m".into(),
            Kind::Milliseconds => "milliseconds, or a time such as 2s".into(),
            Kind::Cpu => "processors such as 0.5, or quota and period in microseconds such as \"50000 100000\"".into(),
            Kind::Path => "an absolute path, or one that begins with ~/".into(),
            Kind::Glob => "a pattern of paths such as /work/**, or of names such as *.conf".into(),
            Kind::Peers => "a network such as 10.0.0.0/8, 10.0.0.0/8:443, [fd00::/8]:8000-8099, tcp/10.0.0.1:5432 or icmp/10.0.0.0/8".into(),
            Kind::Host => "a host name such as crates.io, *.example.org or example.org:443".into(),
            Kind::Server => "an address with a port such as 10.0.0.53:53".into(),
            Kind::Port => "a port such as 8080, or ports such as 8000-8099".into(),
            Kind::Device => "a block device such as 8:0".into(),
            Kind::Call => "a system call by name or number, or a group such as @files".into(),
            Kind::Command => "a driver call such as TIOCGWINSZ or 0x5413".into(),
            Kind::Capability => "a capability such as CAP_CHOWN".into(),
            Kind::List(one) => format!("a list, each {}", one.words()),
            Kind::Map(_) => "a map".into(),
        }
    }
}

/// Every key that holds no others, with its path: `filesystem.patterns.deny_write`.
#[must_use]
pub fn leaves() -> Vec<(String, &'static Key)> {
    leaves_of(ROOT)
}

/// The same of another table, such as the host's policy.
#[must_use]
pub fn leaves_of(keys: &'static [Key]) -> Vec<(String, &'static Key)> {
    let mut found = Vec::new();
    collect(keys, "", &mut found);
    found
}

fn collect(keys: &'static [Key], above: &str, found: &mut Vec<(String, &'static Key)>) {
    for key in keys {
        let path = if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
        match key.kind {
            Kind::Map(inner) => collect(inner, &path, found),
            Kind::List(Kind::Map(inner)) => collect(inner, &format!("{path}[]"), found),
            _ => found.push((path, key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_explained() {
        let mut paths: Vec<String> = leaves().into_iter().map(|(path, _)| path).collect();
        assert!(paths.len() > 50, "{}", paths.len());
        paths.sort();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count);
        for (path, key) in leaves() {
            assert!(!key.about.is_empty() && !key.about.ends_with('.'), "{path}");
            assert_ne!(key.does, Does::Holds, "{path}");
        }
    }
}
