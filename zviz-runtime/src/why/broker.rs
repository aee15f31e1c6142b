//! The broker: which rule of its policy refuses a call, and which other rule would not. It is asked here as it was asked there;
//! what it alone knows, such as which file a socket's path leads to, is in its audit.

use super::change::{Change, Risk, quoted};
use super::scene::{errno, name, object, text};
use super::{Denial, Layer, Origin, Scene};
use nix::errno::Errno;
use std::os::unix::ffi::OsStrExt;
use zviz_broker::handlers::sockets::address::Way;
use zviz_broker::handlers::sockets::rules;
use zviz_broker::policy::files::{Access, FileRule, Files, Rules, Verdict};
use zviz_broker::policy::sockets;
use zviz_observe::{Call, Intent, SocketAddress};

/// Asks it. None where its rules allow the call, which then failed for another reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    let errno = errno(call)?;
    if let (Some(sockets), Some(address)) = (&scene.plan.profile.broker.sockets, &call.address) {
        return socket(scene, call, errno, sockets, address);
    }
    let files = scene.plan.profile.broker.files.as_ref()?;
    file(scene, call, errno, files)
}

/// How a rule is named in the profile.
fn origin(scene: &Scene<'_>, rule: &str) -> Option<Origin> {
    scene.rules.told(scene.plan.profile.broker.origins.get(rule)?)
}

fn file(scene: &Scene<'_>, call: &Call, errno: Errno, files: &Files) -> Option<Denial> {
    let ready = Rules::new(files);
    let (path, reads, writes, ruling) = call.paths.iter().find_map(|named| {
        let (reads, writes) = match named.intent {
            Intent::Read | Intent::List | Intent::Metadata => (true, false),
            Intent::Write | Intent::Create | Intent::Remove | Intent::Change => (false, true),
            Intent::ReadWrite => (true, true),
            Intent::Execute | Intent::Enter | Intent::Mount => return None,
        };
        let ruling = ready.ask(named.path.as_os_str().as_bytes(), reads, writes);
        let denies = match ruling.verdict {
            Verdict::Deny(reason) => Errno::from(reason) == errno,
            // Nobody has agreed.
            Verdict::Ask => errno == Errno::EACCES,
            Verdict::Allow | Verdict::Audit => false,
        };
        // What its owner's mode refuses is refused without a sandbox as well.
        let allowed = || scene.outside.modes_allow(call.pid, &named.path, named.intent) != Some(false);
        (denies && allowed()).then(|| (text(named), reads, writes, ruling))
    })?;
    let key = ruling.rule.map(|at| format!("files.rules[{at}]"));
    let rule = key.as_deref().and_then(|key| origin(scene, key));
    let of_lists = ruling.rule.is_some_and(|at| usize::from(at) >= files.rules.len());
    let what = match (&ruling.verdict, of_lists) {
        (Verdict::Ask, _) => "somebody was asked, and did not agree".to_owned(),
        (_, true) => "is not among what the profile lets be read or written".to_owned(),
        _ => "a pattern of the profile denies it".to_owned(),
    };
    let cause = if of_lists { "unlisted" } else { "pattern" };
    let denial = scene.told(Denial::new(Layer::Broker, cause).what(what), call, &path);
    let changes = changes((&path, &scene.lasting(&path)), (reads, writes), files, rule.as_ref(), of_lists);
    let listed = if writes { "filesystem.writable" } else { "filesystem.base" };
    Some(denial.rule(rule.or_else(|| scene.rules.key(listed))).changes(changes))
}

fn changes(
    (path, lasting): (&str, &str),
    (reads, writes): (bool, bool),
    files: &Files,
    rule: Option<&Origin>,
    of_lists: bool,
) -> Vec<Change> {
    let passes = |files: &Files| {
        matches!(Rules::new(files).ask(path.as_bytes(), reads, writes).verdict, Verdict::Allow | Verdict::Audit)
    };
    let kinds = [(reads, Access::Read, "read"), (writes, Access::Write, "written")];
    let verb = if writes { "written" } else { "read" };
    let mut changes = Vec::new();
    if of_lists {
        let list = if writes { "writable" } else { "readonly" };
        let yaml = format!("filesystem: {{{list}: [{}]}}", quoted(lasting));
        changes.push(Change::yaml(yaml, Risk::Medium, format!("lets this be {verb}")));
        return changes;
    }
    // What is hidden comes first, and nothing but taking it away helps.
    let hidden = rule.is_some_and(|rule| rule.key.starts_with("filesystem.hidden"));
    if !hidden && !path.contains('*') {
        let mut other = files.clone();
        let mut lists = Vec::new();
        for (_, access, word) in kinds.iter().filter(|(asked, ..)| *asked) {
            other.rules.insert(0, FileRule { glob: path.to_owned(), access: *access, verdict: Verdict::Allow });
            let list = if *word == "read" { "allow_read" } else { "allow_write" };
            lists.push(format!("{list}: [{}]", quoted(path)));
        }
        if passes(&other) {
            let yaml = format!("filesystem: {{patterns: {{{}}}}}", lists.join(", "));
            changes.push(Change::yaml(yaml, Risk::Medium, format!("lets exactly this be {verb}")));
        }
    }
    if let Some(rule) = rule {
        let at = rule_number(files, path, (reads, writes));
        let mut other = files.clone();
        if at.filter(|at| *at < other.rules.len()).map(|at| other.rules.remove(at)).is_some() && passes(&other) {
            let why = format!("takes the pattern away: all that it matches can be {verb}");
            changes.push(Change::without(rule.clone(), Risk::High, why));
        }
    }
    changes
}

fn rule_number(files: &Files, path: &str, (reads, writes): (bool, bool)) -> Option<usize> {
    Rules::new(files).ask(path.as_bytes(), reads, writes).rule.map(usize::from)
}

fn socket(
    scene: &Scene<'_>,
    call: &Call,
    errno: Errno,
    policy: &sockets::Sockets,
    address: &SocketAddress,
) -> Option<Denial> {
    if errno != Errno::EACCES {
        return None;
    }
    let way = match name(call).as_str() {
        "connect" => Way::Connect,
        "bind" => Way::Bind,
        _ => Way::Send,
    };
    let ruling = match address {
        SocketAddress::Inet(address) => rules::internet(policy, way, address.ip(), address.port()),
        SocketAddress::UnixAbstract(name) => rules::abstract_name(policy, way, name),
        SocketAddress::UnixPath(path) => rules::path(policy, way, path.as_os_str().as_bytes(), |_| false),
        SocketAddress::Other(_) => return None,
    };
    if ruling.verdict == sockets::Verdict::Allow {
        return None;
    }
    let rule = origin(scene, &ruling.rule);
    let mut changes = Vec::new();
    let what = match (address, &rule) {
        (SocketAddress::Inet(address), Some(rule)) => {
            changes.extend(address_change(address, rule));
            "the profile denies this address or port".to_owned()
        }
        (SocketAddress::UnixPath(path), _) if ruling.rule.starts_with("sockets: ") => {
            let path = path.to_string_lossy();
            let yaml = format!("broker: {{unix_sockets: [{}]}}", quoted(&path));
            changes.push(Change::yaml(
                yaml,
                Risk::High,
                "whoever listens there obeys, with rights that the sandbox has not",
            ));
            format!("is a socket of a service that obeys ({})", ruling.rule.trim_start_matches("sockets: "))
        }
        _ => format!("the broker's policy denies it ({})", ruling.rule),
    };
    let denial = Denial::new(Layer::Broker, "address").what(what).rule(rule).changes(changes);
    Some(scene.told(denial, call, object(call)))
}

/// A list of what may be reached takes one address more; what is denied by name stays so until it is taken away.
fn address_change(address: &std::net::SocketAddr, rule: &Origin) -> Option<Change> {
    let ip = address.ip().to_canonical();
    let range = format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 });
    let why = "lets exactly this address be reached, at any port";
    match rule.key.split('[').next()? {
        "network.allow_cidrs" => {
            Some(Change::yaml(format!("network: {{allow_cidrs: [\"{range}\"]}}"), Risk::Medium, why))
        }
        "network.egress.allow" => {
            Some(Change::yaml(format!("network: {{egress: {{allow: [\"{range}\"]}}}}"), Risk::Medium, why))
        }
        "network.dns.allow" => {
            Some(Change::yaml("network: {dns: {allow: true}}", Risk::Medium, "names are asked for, of whoever answers"))
        }
        _ => None,
    }
}
