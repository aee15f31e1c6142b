//! Options of a file system: a list of what is known to be harmless, by type. Everything else is refused, since an option
//! is a parser of the kernel's.

use Value::{Bytes, Flag, Number, Path, Word};

/// What may follow the equals sign.
#[derive(Clone, Copy)]
enum Value {
    /// Nothing.
    Flag,
    /// Digits, octal or decimal.
    Number,
    /// A size with a suffix, or a part of memory.
    Bytes,
    /// One of these.
    Word(&'static [&'static str]),
    /// Anything that is a string.
    Path,
}

/// (type, option, value). tmpfs(5), devpts of mount(8), proc(5), Documentation/filesystems/overlayfs.rst.
const KNOWN: &[(&str, &str, Value)] = &[
    ("cgroup2", "nsdelegate", Flag),
    ("cgroup2", "memory_recursiveprot", Flag),
    ("devpts", "newinstance", Flag),
    ("devpts", "ptmxmode", Number),
    ("devpts", "mode", Number),
    ("devpts", "uid", Number),
    ("devpts", "gid", Number),
    ("devpts", "max", Number),
    ("overlay", "lowerdir", Path),
    ("overlay", "upperdir", Path),
    ("overlay", "workdir", Path),
    ("overlay", "userxattr", Flag),
    ("overlay", "volatile", Flag),
    ("overlay", "index", Word(&["off", "on"])),
    ("overlay", "metacopy", Word(&["off"])),
    ("overlay", "redirect_dir", Word(&["off", "nofollow"])),
    ("overlay", "xino", Word(&["off", "on", "auto"])),
    ("proc", "hidepid", Word(&["0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"])),
    ("proc", "gid", Number),
    ("proc", "subset", Word(&["pid"])),
    ("tmpfs", "size", Bytes),
    ("tmpfs", "nr_blocks", Bytes),
    ("tmpfs", "nr_inodes", Bytes),
    ("tmpfs", "mode", Number),
    ("tmpfs", "uid", Number),
    ("tmpfs", "gid", Number),
    ("tmpfs", "inode32", Flag),
    ("tmpfs", "inode64", Flag),
    ("tmpfs", "noswap", Flag),
];

/// tmpfs counts blocks in pages.
const PAGE: u64 = 4096;
/// One file for so many bytes that a tmpfs may hold, as in a sandbox's own folders in memory: a file takes a kilobyte of the
/// kernel's memory even if it is empty, and the kernel's own limit is half of the host's pages, whatever the size is.
const BYTES_PER_FILE: u64 = 8192;

/// Options that were all known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options<'a>(Vec<(&'a str, Option<&'a str>)>);

/// All of them if all are known for this type, in their order; none otherwise. Labels (`context=` and its like) are for
/// SELinux policies of the host, and not known.
pub(super) fn check<'a>(fstype: &str, given: &'a [u8]) -> Option<Options<'a>> {
    let given = std::str::from_utf8(given).ok()?;
    let mut options = Vec::new();
    for option in given.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (option, None),
        };
        let (_, _, kind) = KNOWN.iter().find(|(of, known, _)| *of == fstype && *known == key)?;
        allows(*kind, value).then_some(())?;
        options.push((key, value));
    }
    Some(Options(options))
}

fn allows(kind: Value, value: Option<&str>) -> bool {
    match (kind, value) {
        (Flag, None) => true,
        (Number, Some(text)) => !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit()),
        (Bytes, Some(text)) => amount(text).is_some(),
        (Word(words), Some(text)) => words.contains(&text),
        (Path, Some(text)) => !text.is_empty(),
        _ => false,
    }
}

/// A size as memparse() of the kernel takes it; a part of memory, or more than a number holds, is as much as there is.
fn amount(text: &str) -> Option<u64> {
    let (digits, factor) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (digits, "k" | "K") => (digits, 1 << 10),
        (digits, "m" | "M") => (digits, 1 << 20),
        (digits, "g" | "G") => (digits, 1 << 30),
        (digits, "t" | "T") => (digits, 1 << 40),
        (digits, "%") => (digits, u64::MAX),
        _ => (text, 1),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit: as much as there is.
    plain.then(|| digits.parse::<u64>().map_or(u64::MAX, |number| number.saturating_mul(factor)))
}

impl Options<'_> {
    /// As the kernel is given them; none where there are none.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        let one = |(key, value): &(&str, Option<&str>)| match value {
            Some(value) => format!("{key}={value}"),
            None => (*key).to_owned(),
        };
        let all: Vec<String> = self.0.iter().map(one).collect();
        (!all.is_empty()).then(|| all.join(",").into_bytes())
    }

    /// The same for tmpfs, with no more than `most` bytes, and files in proportion: what asks for more, for a part of the
    /// host's memory, or for no limit (0), gets this much; a new one that asks for nothing too.
    pub(super) fn capped(&self, most: u64, new: bool) -> Option<Vec<u8>> {
        let files = (most / BYTES_PER_FILE).max(1);
        let (mut sized, mut counted) = (false, false);
        let mut all = Vec::new();
        for (key, value) in &self.0 {
            let asked = value.and_then(amount);
            let within = |asked: u64, most: u64| if asked == 0 { most } else { asked.min(most) };
            match (*key, asked) {
                ("size", Some(asked)) => {
                    sized = true;
                    all.push(format!("size={}", within(asked, most)));
                }
                ("nr_blocks", Some(blocks)) => {
                    sized = true;
                    all.push(format!("size={}", within(blocks.saturating_mul(PAGE), most)));
                }
                ("nr_inodes", Some(asked)) => {
                    counted = true;
                    all.push(format!("nr_inodes={}", within(asked, files)));
                }
                _ => all.push(value.map_or_else(|| (*key).to_owned(), |value| format!("{key}={value}"))),
            }
        }
        if new && !sized {
            all.push(format!("size={most}"));
        }
        if new && !counted {
            all.push(format!("nr_inodes={files}"));
        }
        (!all.is_empty()).then(|| all.join(",").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capped(given: &str, new: bool) -> Option<String> {
        let options = check("tmpfs", given.as_bytes())?;
        Some(options.capped(1 << 20, new).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default())
    }

    #[test]
    fn no_tmpfs_is_larger_than_its_cap() {
        for (given, expected) in [
            ("", "size=1048576"),
            ("mode=755", "mode=755,size=1048576"),
            ("size=64k", "size=65536"),
            ("size=1g,mode=1777", "size=1048576,mode=1777"),
            ("size=50%", "size=1048576"),
            ("size=0", "size=1048576"),
            ("size=99999999999999999999999", "size=1048576"),
            ("nr_blocks=4", "size=16384"),
            ("nr_blocks=4096", "size=1048576"),
            // The kernel takes the last; both are capped.
            ("size=4k,size=2m", "size=4096,size=1048576"),
        ] {
            assert_eq!(capped(given, true), Some(format!("{expected},nr_inodes=128")), "{given}");
        }
        for (given, expected) in [
            ("nr_inodes=7", "nr_inodes=7,size=1048576"),
            ("nr_inodes=0", "nr_inodes=128,size=1048576"),
            ("nr_inodes=1m,size=4k", "nr_inodes=128,size=4096"),
            ("nr_inodes=5,nr_inodes=1g", "nr_inodes=5,nr_inodes=128,size=1048576"),
        ] {
            assert_eq!(capped(given, true).as_deref(), Some(expected), "{given}");
        }
        assert_eq!(capped("nr_inodes=0", false).as_deref(), Some("nr_inodes=128"));
        assert_eq!(capped("mode=755", false).as_deref(), Some("mode=755"));
        assert_eq!(capped("", false).as_deref(), Some(""));
        assert_eq!(capped("size=2m", false).as_deref(), Some("size=1048576"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (fstype, given) in [
            ("tmpfs", "huge=always"),
            ("tmpfs", "context=system_u:object_r:etc_t:s0"),
            ("tmpfs", "size=1x"),
            ("tmpfs", "size="),
            ("tmpfs", "size=-1"),
            ("tmpfs", "mpol=bind:0"),
            ("overlay", "lowerdir="),
            ("overlay", "metacopy=on"),
            ("overlay", "redirect_dir=on"),
            ("proc", "mode=1"),
            ("mqueue", "anything"),
            ("sysfs", "size=1"),
            ("cgroup2", "favordynmods"),
        ] {
            assert_eq!(check(fstype, given.as_bytes()), None, "{fstype} {given}");
        }
        assert_eq!(check("tmpfs", b"mode=\xff"), None);
        let overlay = b"lowerdir=/a:/b,upperdir=/c,workdir=/d,userxattr";
        assert_eq!(check("overlay", overlay).and_then(|options| options.text()).as_deref(), Some(&overlay[..]));
    }
}
