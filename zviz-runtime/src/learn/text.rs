//! A learned profile as its author would write it: sorted, and with a reason beside every rule.

use super::calls::{allowed_by_default, calls};
use super::folders::Lists;
use super::limits::Limits;
use super::needs::Needs;
use std::collections::BTreeSet;
use std::fmt::Write;
use zviz_seccomp::CATEGORIES;

/// What terminals are asked, whether or not there was one: TCGETS, TIOCGWINSZ. ioctl_tty(2)
const OF_TERMINALS: [u32; 2] = [0x5401, 0x5413];
/// Groups of calls that deserve a look.
const RISKY: &[(&str, &str)] = &[
    ("@chroot", "changes what paths mean"),
    ("@debug", "reads and changes other processes of the sandbox"),
    ("@sandbox", "reaches kernel code that few programs use"),
    ("@ipc", "reaches kernel code that few programs use"),
    ("@aio", "reaches kernel code that few programs use"),
    ("@personality", "switches off defences of memory"),
];

/// What is written down.
#[derive(Debug)]
pub struct Learned<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was run.
    pub command: &'a str,
    /// What was seen.
    pub needs: &'a Needs,
    /// What of it is granted.
    pub lists: &'a Lists,
    /// Its limits.
    pub limits: &'a Limits,
    /// Whether it had the host's network.
    pub network: bool,
    /// Secrets that were asked for.
    pub secrets: &'a [String],
}

/// A text as a YAML scalar.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b));
    if plain && text.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic()) {
        return text.to_owned();
    }
    let escaped: String =
        text.chars().flat_map(|c| [Some('\\').filter(|_| matches!(c, '"' | '\\')), Some(c)]).flatten().collect();
    format!("\"{escaped}\"")
}

/// A comment's text, in one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

struct Page(String);

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    fn list<'t>(
        &mut self,
        key: &str,
        why: &str,
        items: impl IntoIterator<Item = &'t String>,
        risk: impl Fn(&str) -> Option<String>,
    ) {
        let items: Vec<&String> = items.into_iter().collect();
        if items.is_empty() {
            return;
        }
        self.line(2, &format!("# {why}"));
        self.line(2, &format!("{key}:"));
        for item in items {
            if let Some(risk) = risk(item) {
                self.line(4, &format!("# risk: {risk}"));
            }
            self.line(4, &format!("- {}", scalar(item)));
        }
    }
}

/// The text of the profile.
#[must_use]
pub fn profile(learned: &Learned<'_>) -> String {
    let mut page = Page(String::new());
    let Learned { name, command, lists, .. } = learned;
    page.line(0, &format!("# What this needed in one run: {}", comment(command)));
    page.line(0, "# Another day it may need more: zviz learn --frozen with this file says what.");
    if learned.needs.left_out() > 0 {
        page.line(0, "# It named more files than were kept in mind: some that it needs may be missing.");
    }
    page.line(0, "schema_version: \"1.0\"");
    page.line(0, &format!("name: {}", scalar(name)));
    page.line(0, "\nrequirements:");
    page.line(2, "# The limits below are those of cgroups, which an ordinary user may have none of.");
    page.line(2, "cgroup: optional");
    page.line(2, "# The lists of files are kept by it.");
    page.line(2, "landlock: required");
    if ports(learned) {
        page.line(2, "# Lists of ports take Linux 6.7.");
        page.line(2, "network_policy: optional");
    }
    syscalls(&mut page, learned);
    files(&mut page, learned);
    network(&mut page, learned);
    page.line(0, "\ncapabilities:");
    page.line(2, "# It had none.");
    page.line(2, "drop_all: true");
    limits(&mut page, learned.limits);
    if !lists.left.is_empty() {
        page.line(0, "\n# Not granted, though it was used:");
        for (path, why) in &lists.left {
            page.line(0, &format!("# - {}: {why}", comment(path)));
        }
    }
    page.0
}

fn syscalls(page: &mut Page, learned: &Learned<'_>) {
    let calls = calls(learned.needs);
    page.line(0, "\nsyscalls:");
    page.line(2, &format!("# {} of the {} that the default profile allows.", calls.len(), allowed_by_default()));
    page.line(2, "allow:");
    for group in CATEGORIES {
        let of_group: Vec<&str> = group.calls.iter().copied().filter(|call| calls.contains(call)).collect();
        if of_group.is_empty() {
            continue;
        }
        page.line(4, &format!("# {}: {}", group.name.trim_start_matches('@'), group.about));
        if let Some((_, risk)) = RISKY.iter().find(|(name, _)| *name == group.name) {
            page.line(4, &format!("# risk: {risk}"));
        }
        of_group.iter().for_each(|call| page.line(4, &format!("- {call}")));
    }
    if calls.contains("ioctl") {
        let commands: BTreeSet<u32> = learned.needs.ioctls.iter().copied().chain(OF_TERMINALS).collect();
        let names: Vec<String> = commands.into_iter().map(zviz_profile::ioctls::words).collect();
        page.line(0, "\nioctl:");
        page.line(2, "# Those that were answered, and what is asked of a terminal.");
        page.line(2, "allowlists:");
        page.line(4, "- subsystem: seen");
        page.line(4, &format!("  commands: [{}]", names.join(", ")));
    }
}

fn files(page: &mut Page, learned: &Learned<'_>) {
    let lists = learned.lists;
    page.line(0, "\nfilesystem:");
    page.line(2, "# Nothing is there but what follows.");
    page.line(2, "base: none");
    let (why, word) = match lists.workspace {
        Some(true) => ("The folder that it is started in was written.", "writable"),
        Some(false) => ("The folder that it is started in was read, and not written.", "readonly"),
        None => ("The folder that it is started in was not used.", "none"),
    };
    page.line(2, &format!("# {why}"));
    page.line(2, &format!("workspace: {word}"));
    let secret = |path: &str| {
        learned
            .secrets
            .iter()
            .any(|secret| crate::profile::files::within(path, secret))
            .then(|| "a secret, asked for by --allow-secret".to_owned())
    };
    page.list("readonly", "Read: a folder where several of its files were.", &lists.readonly, secret);
    if lists.writable.is_empty() {
        page.line(2, "# Nothing else was written.");
        page.line(2, "writable: []");
    }
    page.list("writable", "Written, or something made there.", &lists.writable, |_| {
        Some("what it writes there stays".to_owned())
    });
    page.list("tmpfs", "Written, and thrown away: empty folders in memory.", &lists.tmpfs, |_| None);
    let writes = |path: &str| {
        let memory = lists.tmpfs.contains(path) || lists.writable.contains(path);
        let system = super::folders::is_system(path);
        let risk = memory || !system && lists.workspace == Some(true);
        risk.then(|| "what is written there can be executed".to_owned())
    };
    page.list("executable", "Programs, and libraries, that were executed.", &lists.executable, writes);
    page.list("hidden", "Secrets in the folders above.", &lists.hidden, |_| None);
}

/// Whether there are lists of ports.
fn ports(learned: &Learned<'_>) -> bool {
    let needs = learned.needs;
    needs.sockets.contains("tcp") && (!needs.connects.is_empty() || !needs.binds.is_empty() && !needs.any_port)
}

fn network(page: &mut Page, learned: &Learned<'_>) {
    let needs = learned.needs;
    page.line(0, "\nnetwork:");
    if learned.network && needs.sockets.iter().any(|kind| *kind != "unix") {
        page.line(2, "# It was run with --net host, and used it.");
        page.line(2, "# risk: everything that this host reaches, its own services too");
        page.line(2, "mode: host");
    } else {
        page.line(2, "# Nothing but a loopback device.");
        page.line(2, "mode: none");
    }
    page.line(2, "sockets:");
    page.line(4, "# The kinds that were made.");
    let kinds: Vec<&str> = needs.sockets.iter().copied().collect();
    page.line(4, &format!("allow: [{}]", kinds.join(", ")));
    if ports(learned) {
        let words = |ports: &BTreeSet<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        page.line(2, "ports:");
        if !needs.binds.is_empty() && !needs.any_port {
            page.line(4, "# Those that were listened at.");
            page.line(4, &format!("allow_bind: [{}]", words(&needs.binds)));
        }
        if !needs.connects.is_empty() {
            page.line(4, "# Those that were connected to.");
            page.line(4, &format!("allow_connect: [{}]", words(&needs.connects)));
        }
    }
}

fn limits(page: &mut Page, limits: &Limits) {
    page.line(0, "\nresources:");
    match limits.memory {
        Some(memory) => {
            page.line(2, "# Twice what it took, and up to a power of two.");
            page.line(2, &format!("memory_max: {}Mi", memory >> 20));
        }
        None => page.line(2, "# No memory_max: there was no cgroup to tell how much it took."),
    }
    page.line(2, "# Twice as many as there were, and up to a power of two.");
    page.line(2, &format!("pids_max: {}", limits.pids));
    page.line(2, &format!("open_files: {}", limits.open_files));
    page.line(2, "# A core file is a copy of memory, and somebody has to clean it up.");
    page.line(2, "core_dumps: false");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_a_profile_and_always_the_same() {
        let mut needs = Needs::default();
        needs.calls.extend(["openat", "newfstatat", "pread64", "clone3", "ioctl", "nonsense"].map(str::to_owned));
        needs.sockets.insert("tcp");
        needs.connects.insert(443);
        needs.ioctls.insert(0x5421);
        let mut lists = Lists { workspace: Some(true), ..Lists::default() };
        lists.readonly.extend(["/usr/bin", "/a \"b\"", "/c:d"].map(str::to_owned));
        lists.executable.insert("/usr/bin".to_owned());
        lists.tmpfs.insert("/tmp".to_owned());
        lists.left.insert("/home/u/.ssh/id\n".to_owned(), "a secret".to_owned());
        let limits = Limits { memory: Some(64 << 20), pids: 64, open_files: 256 };
        let secrets = [];
        let learned = Learned {
            name: "learned",
            command: "a b\nc",
            needs: &needs,
            lists: &lists,
            limits: &limits,
            network: true,
            secrets: &secrets,
        };
        let text = profile(&learned);
        assert_eq!(text, profile(&learned));
        let read = zviz_profile::Text { file: "learned.yaml".into(), text: text.clone() };
        let document =
            zviz_profile::read(&read, &|_| Err("none".into())).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let context = crate::profile::lower::Context { home: None };
        let lowered =
            crate::profile::lower::lower(&document, &context).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        assert!(lowered.notes.is_empty(), "{:?}", lowered.notes);
        assert!(lowered.files.readonly.contains(&"/a \"b\"".to_owned()));
        assert!(!text.contains("clone3") && !text.contains("nonsense") && text.contains("FIONBIO"));
        assert!(calls(&needs).len() < allowed_by_default());
    }
}
