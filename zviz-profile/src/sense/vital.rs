//! Calls that programs cannot do without: without some nobody can run anything, which nobody can mean; without others only
//! programs that no linker loads run, which somebody may mean and should know.

use crate::calls::{DEFAULT, expand};
use crate::document::Document;
use crate::place::Faults;
use zviz_seccomp::{Arch, number_of};

/// Of which every program needs each, and for what. Those that an architecture does not have are not missed there.
const VITAL: &[(&str, &str)] = &[
    ("arch_prctl", "a program's first thread has no storage of its own"),
    ("execve", "no program can be started"),
    ("exit_group", "no program can end"),
    ("read", "no program can run"),
    ("rt_sigreturn", "whoever handles a signal is killed"),
    ("write", "no program can run"),
];

/// Of which a program needs one for its memory.
const MEMORY: &[&str] = &["brk", "mmap"];

/// What the dynamic linker of glibc ends without. It does without brk, munmap, fstat, access and others.
const LINKER: &[&str] = &["close", "mmap", "mprotect", "newfstatat", "openat", "pread64"];

pub(super) fn faults(document: &Document) -> Faults {
    let calls = Calls::of(document);
    let mut faults = Faults::default();
    let vital = VITAL.iter().map(|(name, why)| (std::slice::from_ref(name), *why));
    for (names, why) in vital.chain([(MEMORY, "no program has memory")]) {
        let names: Vec<&str> = names.iter().copied().filter(|name| exists(name)).collect();
        if names.is_empty() || !names.iter().all(|name| calls.is_missing(name)) {
            continue;
        }
        let without = format!("without {} {why}", names.join(" and "));
        let Some((key, how)) = names.iter().find_map(|name| calls.culprit(name)) else { continue };
        let Some(place) = document.place(&key).or_else(|| document.start()) else { continue };
        faults.add(place, key, without).help = Some(how);
    }
    faults
}

/// What no dynamically linked program runs without, and this profile does not allow: the key, and a sentence. Statically linked
/// ones may.
#[must_use]
pub fn static_only(document: &Document) -> Option<(String, String)> {
    let calls = Calls::of(document);
    let missing: Vec<&str> = LINKER.iter().copied().filter(|name| exists(name) && calls.is_missing(name)).collect();
    let (key, how) = missing.iter().find_map(|name| calls.culprit(name))?;
    let what = format!("without {} only statically linked programs run: {how}", missing.join(", "));
    Some((key, what))
}

fn exists(name: &str) -> bool {
    number_of(name, Arch::native()).is_some()
}

struct Calls {
    /// As they are written, with what they stand for.
    denied: Vec<(String, Vec<&'static str>)>,
    /// None where all that the default profile allows is allowed.
    allowed: Option<Vec<&'static str>>,
}

impl Calls {
    fn of(document: &Document) -> Calls {
        let calls = &document.syscalls;
        let all = |names: &[String]| -> Vec<&'static str> { names.iter().flat_map(|name| expand(name)).collect() };
        let listed = calls.allow.as_ref().filter(|names| !names.iter().any(|name| name == DEFAULT));
        Calls {
            denied: calls.deny.iter().map(|name| (name.clone(), expand(name))).collect(),
            // The broker answers what it is asked, whatever is listed beside.
            allowed: listed.map(|names| [all(names), all(&calls.broker)].concat()),
        }
    }

    fn is_missing(&self, name: &str) -> bool {
        self.culprit(name).is_some()
    }

    /// The key that takes a call away, and what to write instead.
    fn culprit(&self, name: &str) -> Option<(String, String)> {
        if let Some(at) = self.denied.iter().position(|(_, calls)| calls.contains(&name)) {
            let written = self.denied.get(at).map_or(name, |(written, _)| written);
            let how = if written == name {
                format!("leave {name} out")
            } else {
                format!("{written} has {name}: name the others of it alone")
            };
            return Some((format!("syscalls.deny[{at}]"), how));
        }
        let listed = self.allowed.as_ref()?;
        let how = "add @default, or @process, @memory, @descriptors and @files, which hold what all need";
        (!listed.contains(&name)).then(|| ("syscalls.allow".to_owned(), how.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inherit::{Text, read};

    fn read_text(text: &str) -> Result<Document, String> {
        let text = Text { file: "a.yaml".into(), text: text.into() };
        read(&text, &|name| Err(format!("there is no profile {name:?}"))).map_err(|faults| faults.to_string())
    }

    #[test]
    fn nobody_can_mean_that_nothing_runs() {
        for (name, why) in VITAL.iter().filter(|(name, _)| exists(name)) {
            let denied = read_text(&format!("syscalls:\n  deny:\n    - ptrace\n    - {name}\n")).unwrap_err();
            let expected = format!("a.yaml:4: syscalls.deny[1]: without {name} {why} (leave {name} out)");
            assert_eq!(denied, expected);
            let others = VITAL.iter().map(|(other, _)| *other).chain(MEMORY.iter().copied());
            let others: Vec<&str> = others.filter(|other| other != name && exists(other)).collect();
            let listed = read_text(&format!("name: a\nsyscalls: {{allow: [{}]}}\n", others.join(", "))).unwrap_err();
            assert!(listed.starts_with(&format!("a.yaml:2: syscalls.allow: without {name} ")), "{listed}");
            // The control.
            let all = read_text(&format!("syscalls: {{allow: [{name}, {}]}}\n", others.join(", ")));
            assert!(all.is_ok(), "{name}: {all:?}");
        }
        let group = read_text("syscalls: {deny: [\"@process\"]}\n").unwrap_err();
        assert!(group.contains("a.yaml:1: syscalls.deny[0]: without execve ") && group.contains("@process has execve"));
        let memory = read_text("syscalls: {deny: [mmap, brk]}\n").unwrap_err();
        assert_eq!(memory, "a.yaml:1: syscalls.deny[1]: without brk and mmap no program has memory (leave brk out)");
    }

    #[test]
    fn a_program_that_nobody_links_can_be_meant() {
        let says = |text: &str| static_only(&read_text(text).unwrap());
        for name in LINKER.iter().filter(|name| exists(name)) {
            let (key, what) = says(&format!("syscalls: {{deny: [{name}]}}\n")).unwrap();
            let expected = format!("without {name} only statically linked programs run: leave {name} out");
            assert_eq!((key.as_str(), what), ("syscalls.deny[0]", expected));
        }
        assert_eq!(says("syscalls: {deny: [brk, munmap, fstat, access]}\n"), None);
        assert_eq!(says("syscalls: {deny: [ptrace]}\n"), None);
        let listed = "syscalls: {allow: [\"@process\", \"@descriptors\", \"@memory\", newfstatat], broker: [openat]}\n";
        assert_eq!(says(listed), None);
        let (key, what) = says("syscalls: {allow: [\"@process\", \"@descriptors\", \"@memory\"]}\n").unwrap();
        assert!(key == "syscalls.allow" && what.starts_with("without newfstatat, openat only"), "{what}");
    }
}
