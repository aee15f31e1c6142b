//! The flags of `zviz run -- CMD`, as text.

use super::{Network, Sandbox, Share, Tmpfs, Userns, Variable, paths, quantity};
use crate::plan::{Backend, Problems};
use crate::profile::artefacts;
use crate::profile::built_in;
use crate::profile::find::Search;
use crate::profile::lower::Context;
use crate::profile::{Packets, Profile};
use std::os::unix::fs::FileTypeExt;
use zviz_broker::policy::Trail;
use zviz_broker::policy::ask::Client;

/// What the command line gives, word for word. One field a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--rw HOST[:INSIDE]`.
    pub rw: Vec<String>,
    /// `--ro HOST[:INSIDE]`.
    pub ro: Vec<String>,
    /// `--tmpfs INSIDE[:SIZE]`.
    pub tmpfs: Vec<String>,
    /// `--env NAME[=VALUE]`.
    pub env: Vec<String>,
    /// `--cwd INSIDE`.
    pub cwd: Option<String>,
    /// `--user UID[:GID]|NAME`.
    pub user: Option<String>,
    /// `--hostname NAME`.
    pub hostname: Option<String>,
    /// `--memory BYTES`.
    pub memory: Option<String>,
    /// `--pids COUNT`.
    pub pids: Option<String>,
    /// `--cpus NUMBER`.
    pub cpus: Option<String>,
    /// `--timeout TIME`.
    pub timeout: Option<String>,
    /// `--net none|host|bridge|pasta|private`.
    pub net: Option<String>,
    /// `--net-log`.
    pub net_log: bool,
    /// `--publish [ADDRESS:]PORT:PORT[/tcp|udp]`.
    pub publish: Vec<String>,
    /// `--userns auto|identity`.
    pub userns: Option<String>,
    /// `--id ID`.
    pub id: Option<String>,
    /// `--rootfs HOST`.
    pub rootfs: Option<String>,
    /// `--ask SOCKET|COMMAND`.
    pub ask: Option<String>,
    /// `--audit FILE|fd:N|journald`.
    pub audit: Option<String>,
    /// `--profile NAME|FILE`.
    pub profile: Option<String>,
    /// `--compiled DIR`.
    pub compiled: Option<String>,
    /// `--backend namespaces|landlock`.
    pub backend: Option<String>,
    /// Whether the command is given a pseudo-terminal.
    pub terminal: bool,
}

impl Flags {
    /// The sandbox that they describe, around `args`.
    ///
    /// # Errors
    /// Every flag that makes no sense by itself; what depends on the machine is for [`lower`](super::lower()).
    pub fn sandbox(&self, args: Vec<String>) -> Result<Sandbox, Problems> {
        let mut problems = Problems::default();
        let mut sandbox = Sandbox::new(args);
        for (flag, writable, list) in [("--rw", true, &self.rw), ("--ro", false, &self.ro)] {
            for text in list {
                match Share::parse(text, writable) {
                    Ok(share) => sandbox.shares.push(share),
                    Err(why) => problems.add(format!("{flag} {text}"), why),
                }
            }
        }
        for text in &self.tmpfs {
            match tmpfs(text) {
                Ok(tmpfs) => sandbox.tmpfs.push(tmpfs),
                Err(why) => problems.add(format!("--tmpfs {text}"), why),
            }
        }
        sandbox.environment = self.env.iter().map(|text| variable(text)).collect();
        sandbox.memory = parsed("--memory", &self.memory, quantity::bytes, &mut problems);
        sandbox.pids = parsed("--pids", &self.pids, quantity::count, &mut problems);
        sandbox.cpus = parsed("--cpus", &self.cpus, quantity::millicpus, &mut problems);
        sandbox.timeout = parsed("--timeout", &self.timeout, quantity::duration, &mut problems);
        if let Some(network) = parsed("--net", &self.net, network, &mut problems) {
            sandbox.network(network);
        }
        sandbox.network_log = self.net_log;
        for text in &self.publish {
            match super::network::published(text) {
                Ok(port) => sandbox.published.push(port),
                Err(why) => problems.add(format!("-p {text}"), why),
            }
        }
        sandbox.userns = parsed("--userns", &self.userns, userns, &mut problems).unwrap_or_default();
        sandbox.backend = parsed("--backend", &self.backend, backend, &mut problems);
        sandbox.hostname = parsed("--hostname", &self.hostname, hostname, &mut problems);
        let name = self.profile.as_deref();
        let compiled = |dir: &str| artefacts::load(dir.as_ref(), name, &Context::of_caller());
        let loaded = parsed("--compiled", &self.compiled, compiled, &mut problems);
        sandbox.profile = match (loaded, &self.compiled) {
            (Some(profile), _) => profile,
            (None, Some(_)) => Profile::default(),
            (None, None) => {
                parsed("--profile", &self.profile, profile, &mut problems).unwrap_or_else(built_in::default)
            }
        };
        let client = parsed("--ask", &self.ask, client, &mut problems);
        match &mut sandbox.profile.broker.ask {
            Some(asking) => asking.client = client,
            None if client.is_some() => {
                let why = format!(
                    "the profile {} asks about nothing: take one that does (--profile ask, or one with filesystem.patterns.ask), \
                     or leave --ask out",
                    sandbox.profile.name
                );
                problems.add("--ask", why);
            }
            None => {}
        }
        sandbox.profile.broker.audit = parsed("--audit", &self.audit, trail, &mut problems);
        let silent = sandbox.profile.broker.is_empty() && !sandbox.profile.packets.as_ref().is_some_and(Packets::logs);
        if sandbox.profile.broker.audit.is_some() && silent {
            let name = &sandbox.profile.name;
            let why = format!(
                "the profile {name} has nothing to record: take one that sends calls to a broker (--profile nested, or one with \
                 syscalls.broker or filesystem.patterns) or that has network.log, or leave --audit out"
            );
            problems.add("--audit", why);
        }
        sandbox.cwd.clone_from(&self.cwd);
        sandbox.user.clone_from(&self.user);
        sandbox.id.clone_from(&self.id);
        sandbox.rootfs.clone_from(&self.rootfs);
        sandbox.terminal = self.terminal;
        problems.or(sandbox)
    }
}

fn parsed<T>(
    flag: &str,
    text: &Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
    problems: &mut Problems,
) -> Option<T> {
    let text = text.as_deref()?;
    parse(text).map_err(|why| problems.add(format!("{flag} {text}"), why)).ok()
}

fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let mut parts = paths::split(text)?.into_iter();
    let inside = paths::inside(&parts.next().unwrap_or_default())?;
    let size = parts.next().map(|size| quantity::bytes(&size)).transpose()?;
    match parts.next() {
        Some(_) => Err("has more than one colon (write a colon of a path as \\:)".into()),
        None => Ok(Tmpfs { inside, size }),
    }
}

fn variable(text: &str) -> Variable {
    match text.split_once('=') {
        Some((name, value)) => Variable::Set(name.to_owned(), value.to_owned()),
        None => Variable::Copy(text.to_owned()),
    }
}

/// The profile of a name or a file. `~` in it is the caller's home folder, as it is inside.
fn profile(name: &str) -> Result<Profile, String> {
    Search::of_user().profile(name, &Context::of_caller())
}

/// A path of a socket, or else a command of the shell.
fn client(text: &str) -> Result<Client, String> {
    if text.trim().is_empty() {
        return Err("names nobody".into());
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    let is_socket = path.metadata().is_ok_and(|found| found.file_type().is_socket());
    Ok(if is_socket { Client::Socket(path) } else { Client::Command(text.to_owned()) })
}

/// At most, of one file of an audit log.
const AUDIT_BYTES: u64 = 16 << 20;
/// How many older ones are kept.
const AUDIT_KEPT: u8 = 3;

/// What `--audit` says.
///
/// # Errors
/// What is wrong with it, in words.
pub fn trail(text: &str) -> Result<Trail, String> {
    if text == "journald" {
        return Ok(Trail::Journal);
    }
    if let Some(number) = text.strip_prefix("fd:") {
        let number = number.parse().ok().filter(|number| *number >= 0);
        return number.map(Trail::Descriptor).ok_or_else(|| "fd: wants the number of a descriptor".into());
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    Ok(Trail::File { path, max_bytes: AUDIT_BYTES, keep: AUDIT_KEPT })
}

fn network(text: &str) -> Result<Network, String> {
    Network::of(text).ok_or_else(|| "is none of none, host, bridge, pasta, private".into())
}

fn userns(text: &str) -> Result<Userns, String> {
    match text {
        "auto" => Ok(Userns::Auto),
        "identity" => Ok(Userns::Identity),
        _ => Err("is neither auto nor identity".into()),
    }
}

fn backend(text: &str) -> Result<Backend, String> {
    let known = [Backend::Namespaces, Backend::Landlock];
    known.into_iter().find(|known| known.name() == text).ok_or_else(|| "is neither namespaces nor landlock".into())
}

/// hostname(7): labels of letters, digits and hyphens; 64 bytes are what the kernel holds.
fn hostname(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 64 {
        return Err("is longer than 64 bytes".into());
    }
    if !text.split('.').all(label) {
        return Err("is no host name: letters, digits and hyphens, in parts between dots".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn problems(flags: Flags) -> String {
        flags.sandbox(vec!["true".into()]).unwrap_err().to_string()
    }

    #[test]
    fn all_flags_have_their_meaning() {
        let text = |text: &str| Some(text.to_owned());
        let flags = Flags {
            rw: vec!["/a:/b".into()],
            ro: vec!["c\\:d".into()],
            tmpfs: vec!["/scratch:64M".into()],
            env: vec!["A=1=2".into(), "B".into()],
            memory: text("512M"),
            cpus: text("1.5"),
            timeout: text("2m"),
            net: text("host"),
            ..Flags::default()
        };
        let mut want = Sandbox::new(["true"]);
        want.rw("/a", "/b").share(Share { host: "c:d".into(), inside: None, writable: false });
        want.tmpfs("/scratch", Some(64 << 20)).env("A", "1=2").env_copy("B").memory(512 << 20).millicpus(1500);
        want.timeout(Duration::from_secs(120)).network(Network::Host).profile(built_in::default());
        assert_eq!(flags.sandbox(vec!["true".into()]).unwrap(), want);
    }

    #[test]
    fn every_bad_flag_is_named() {
        let flags = Flags {
            rw: vec!["".into(), "/a:".into(), "/a:/b:/c".into(), "/a\\".into()],
            tmpfs: vec!["scratch".into(), "/a:12Q".into(), "/a:1M:x".into()],
            memory: Some("12Q".into()),
            pids: Some("many".into()),
            net: Some("bridges".into()),
            publish: vec!["80".into()],
            hostname: Some("a b".into()),
            ..Flags::default()
        };
        let lines = problems(flags);
        let want = "--rw : names no path of the host; \
            --rw /a:: names no path after the colon; \
            --rw /a:/b:/c: has more than one colon (write a colon of a path as \\:); \
            --rw /a\\: a backslash may only stand before a colon or a backslash; \
            --tmpfs scratch: a path inside the sandbox begins with a slash; \
            --tmpfs /a:12Q: unknown unit \"Q\": K, M, G or T, or none for bytes; \
            --tmpfs /a:1M:x: has more than one colon (write a colon of a path as \\:); \
            --memory 12Q: unknown unit \"Q\": K, M, G or T, or none for bytes; \
            --pids many: is not a number; \
            --net bridges: is none of none, host, bridge, pasta, private; \
            -p 80: is not [ADDRESS:]PORT-OF-HOST:PORT[/tcp|udp]; \
            --hostname a b: is no host name: letters, digits and hyphens, in parts between dots";
        assert_eq!(lines, want);
    }
}
