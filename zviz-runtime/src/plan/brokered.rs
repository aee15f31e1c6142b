//! What a broker does in the place of a program is not held by the program's Landlock domain: whoever acts is a process of
//! the broker's own, which must see callers that a domain would hide from it. So what the profile says by path is said to the
//! broker too, by name.

use super::input::{Findings, Input};
use crate::profile::{FileRules, Profile, files};
use zviz_broker::policy::Record;
use zviz_broker::policy::files::{Access, FileRule, Reason, Verdict};
use zviz_broker::policy::sockets::{Place, Rule};

/// The profile, with all that its broker has to know.
pub(super) fn complete(input: Input, found: &mut Findings) -> Profile {
    let mut profile = input.profile.clone();
    if profile.broker.audit.is_some() && profile.broker.record == Record::Nothing {
        profile.broker.audit = None;
        found.note(format!("profile {}: audit.level", profile.name), "is none: nothing is recorded");
    }
    let files = profile.files.clone();
    let says = files.listed_only || files.writable.is_some() || !files.readonly.is_empty();
    if let Some(policy) = profile.broker.files.as_mut().filter(|_| says) {
        let own = policy.rules.len();
        // What a pattern allows or audits is allowed among patterns, and no way around the lists.
        policy.within = rules(&files);
        let lists = "filesystem.readonly, writable, tmpfs or base";
        let names = (own..own + policy.within.len()).map(|i| (format!("files.rules[{i}]"), lists.to_owned()));
        profile.broker.origins.extend(names);
    }
    if let Some(sockets) = &mut profile.broker.sockets {
        let nowhere = files.readonly.iter().any(|path| path == "/").then(Vec::new);
        if let Some(writable) = files.writable.as_ref().or(nowhere.as_ref()) {
            // Binding makes a file.
            let own = files::OWN.iter().map(|path| (*path).to_owned());
            let below =
                own.chain(writable.iter().chain(&files.tmpfs).cloned()).map(|path| Rule::Allow(Place::Below(path)));
            sockets.bind.retain(|rule| *rule != Rule::Allow(Place::Below("/".into())));
            sockets.bind.extend(below);
        }
        if profile.ports.bind.is_some() || profile.ports.connect.is_some() {
            let what = "cannot stand beside rules about addresses (allow_cidrs, egress, dns, deny_connect), which another \
                        process looks after";
            found.problem(format!("profile {}: network.ports", profile.name), what);
        }
    }
    if profile.broker.nodes && says && !profile.nested {
        let what = "mknod by way of the broker cannot stand beside lists of what is read or written";
        found.problem(format!("profile {}: syscalls.broker", profile.name), what);
    }
    profile
}

/// Lists of paths as rules about names, the nearer before the farther.
fn rules(files: &FileRules) -> Vec<FileRule> {
    let otherwise = Verdict::Allow;
    let denied = Verdict::Deny(Reason::Eacces);
    let mut lists: Vec<(&str, Access, Verdict)> = Vec::new();
    for path in files::OWN {
        lists.push((path, Access::Any, otherwise));
    }
    let writable = files.writable.iter().flatten();
    for path in writable.clone().chain(&files.tmpfs) {
        lists.push((path, if files.writable.is_some() { Access::Any } else { Access::Read }, otherwise));
    }
    for path in &files.readonly {
        lists.push((path, Access::Read, otherwise));
        lists.push((path, Access::Write, denied));
    }
    lists.sort_by_key(|(path, ..)| std::cmp::Reverse(path.len()));
    let last = [(files.listed_only, Access::Read), (files.writable.is_some(), Access::Write)];
    let last = last.into_iter().filter(|(given, _)| *given).map(|(_, access)| ("/", access, denied));
    let below = |(path, access, verdict): (&str, Access, Verdict)| {
        let name = path.replace('\\', "\\\\").replace('*', "\\*");
        let all = if name == "/" { "/**".to_owned() } else { format!("{name}/**") };
        [name, all].map(|glob| FileRule { glob, access, verdict })
    };
    lists.into_iter().chain(last).flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_broker::policy::files::{Files, Rules};

    #[test]
    fn the_broker_says_what_landlock_says() {
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        for listed_only in [false, true] {
            for writable in [None, Some(list(&["/work", "/usr/local"]))] {
                let files = FileRules {
                    listed_only,
                    readonly: list(&["/usr", "/work/.git", "/a*b"]),
                    writable,
                    tmpfs: list(&["/tmp"]),
                    ..FileRules::default()
                };
                let policy = Files { within: rules(&files), ..Files::default() };
                let ask = Rules::new(&policy);
                for path in [
                    "/",
                    "/etc/passwd",
                    "/usr",
                    "/usr/bin/sh",
                    "/usrx",
                    "/usr/local",
                    "/usr/local/bin",
                    "/work",
                    "/work/a/b",
                    "/work/.git/hooks",
                    "/work/.gitx",
                    "/tmp/x",
                    "/dev/null",
                    "/proc/1/status",
                    "/a*b/c",
                    "/axb/c",
                ] {
                    let may = |reads, writes| ask.ask(path.as_bytes(), reads, writes).verdict == Verdict::Allow;
                    assert_eq!(may(true, false), files.reads(path), "{path} read {files:?}");
                    assert_eq!(may(false, true), files.writes(path), "{path} written {files:?}");
                }
            }
        }
    }
}
