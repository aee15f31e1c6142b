//! What a profile chooses among system calls: lists of names, kinds of sockets, driver calls.

use crate::arguments;
use crate::default::{INT, socket_rules};
use crate::variant::take;
use crate::{Action, CATEGORIES, ENOSYS, EPERM, Fallback, Op, Policy, Rule};
use serde::{Deserialize, Serialize};

/// A profile's own words about system calls. By default, nothing is changed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choice {
    /// Whether only what is in `allow` is allowed, and not what the default policy allows beside it.
    pub listed_only: bool,
    /// Calls by name. One that the default policy decides by its arguments is decided so here too.
    pub allow: Vec<String>,
    /// Calls by name that fail with EPERM, whatever else is said.
    pub deny: Vec<String>,
    /// Kinds of sockets that can be made; none is those of the default policy.
    pub sockets: Option<Vec<Socket>>,
    /// Driver calls that go through, all others failing with ENOTTY; none is those of the default policy.
    pub ioctls: Option<Vec<u32>>,
    /// Whether nothing connects but connect(2): data that asks for a connection (MSG_FASTOPEN, tcp(7)) is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub connect_only: bool,
    /// Whether no file gets a set-user-ID or set-group-ID bit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_set_id: bool,
    /// Whether what is executed is in some folder, and not in memory (memfd_create(2)).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub files_only: bool,
}

/// A kind of socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Socket {
    /// Streams of the internet, of both versions.
    Tcp,
    /// Datagrams of the internet, of both versions.
    Udp,
    /// ping(8) without a right: `net.ipv4.ping_group_range` says who may.
    Icmp,
    /// unix(7).
    Unix,
    /// Of unix(7) only pairs that know each other from the beginning, socketpair(2): nobody is connected to.
    Pair,
    /// NETLINK_ROUTE, which getifaddrs(3) asks for addresses.
    Netlink,
}

/// What the default policy has.
pub(crate) const SOCKETS: &[Socket] = &[Socket::Unix, Socket::Tcp, Socket::Udp, Socket::Netlink];

/// Calls that send, and which argument has their flags.
const SENDING: &[(&str, u8)] = &[("sendmmsg", 3), ("sendmsg", 2), ("sendto", 3)];
/// linux/socket.h.
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// What programs get where fast open is turned off, and then connect.
const EOPNOTSUPP: Action = Action::Errno(libc::EOPNOTSUPP as u16);

const ENOTTY: Action = Action::Errno(libc::ENOTTY as u16);

/// The kernel's own trampolines, which kill whoever is refused them.
const PROBES: &str = "@probes";

impl Choice {
    /// Calls that this allows and that the default policy refuses, with what they are: a user should know of them.
    #[must_use]
    pub fn beyond_default(&self) -> Vec<(&str, &'static str)> {
        let default = crate::default_policy();
        let beyond =
            self.allow.iter().filter(|name| whole(&default, name).is_some_and(|answer| answer != Action::Allow));
        let about =
            |name: &str| CATEGORIES.iter().find(|group| group.calls.contains(&name)).map_or("", |group| group.about);
        beyond.map(|name| (name.as_str(), about(name))).collect()
    }

    pub(crate) fn apply(&self, policy: &mut Policy) {
        for name in &self.allow {
            if whole(policy, name).is_some_and(|answer| !matches!(answer, Action::Allow | Action::Notify)) {
                take(policy, name);
                policy.rules.push(Rule::new([name.as_str()], Action::Allow));
            }
        }
        if self.listed_only {
            let unlisted = CATEGORIES.iter().filter(|group| group.name != PROBES).flat_map(|group| group.calls);
            let unlisted = unlisted.filter(|call| !self.allow.iter().any(|name| name == *call));
            // What callers look for ENOSYS of keeps it.
            let refused = unlisted.filter(|call| !asks(policy, call) && whole(policy, call) != Some(ENOSYS));
            self.refuse(refused.copied().collect(), policy);
        }
        self.refuse(self.deny.iter().map(String::as_str).collect(), policy);
        if let Some(kinds) = &self.sockets {
            replace(policy, &["socket", "socketpair"], socket_rules(kinds), Action::Errno(libc::EAFNOSUPPORT as u16));
        }
        for (name, flags) in SENDING.iter().filter(|_| self.connect_only) {
            if whole(policy, name) == Some(Action::Allow) {
                let refused = Rule::new([*name], EOPNOTSUPP).when(*flags, Op::MaskedEq(MSG_FASTOPEN), MSG_FASTOPEN);
                take(policy, name);
                policy.rules.push(refused);
                policy.fallbacks.push(Fallback { names: vec![(*name).to_owned()], action: Action::Allow });
            }
        }
        if self.no_set_id {
            arguments::refuse_set_id(policy);
        }
        if self.files_only {
            arguments::refuse_programs_in_memory(policy);
        }
        if let Some(commands) = &self.ioctls {
            let refused = |command: &&u32| policy.rules.iter().any(|rule| names_ioctl(rule, **command));
            let rule = |command: &u32| Rule::new(["ioctl"], Action::Allow).when(1, INT, u64::from(*command));
            let rules = commands.iter().filter(|command| !refused(command)).map(rule).collect();
            replace(policy, &["ioctl"], rules, ENOTTY);
        }
    }

    fn refuse(&self, names: Vec<&str>, policy: &mut Policy) {
        for name in &names {
            take(policy, name);
        }
        if !names.is_empty() {
            policy.rules.push(Rule::new(names, EPERM));
        }
    }
}

/// Whether the default policy refuses this driver call by name: a list cannot bring it back.
fn names_ioctl(rule: &Rule, command: u32) -> bool {
    rule.action != Action::Allow
        && rule.names.iter().any(|name| name == "ioctl")
        && rule.args.iter().any(|arg| arg.index == 1 && arg.value == u64::from(command))
}

/// Says something else of calls, if they are not refused as a whole already.
fn replace(policy: &mut Policy, names: &[&str], rules: Vec<Rule>, otherwise: Action) {
    let open: Vec<&str> = names.iter().filter(|name| whole(policy, name).is_none()).copied().collect();
    for name in &open {
        take(policy, name);
    }
    let about = |rule: &Rule| rule.names.iter().any(|name| open.contains(&name.as_str()));
    policy.rules.extend(rules.into_iter().filter(about));
    let names = open.iter().map(|name| (*name).to_owned()).collect();
    policy.fallbacks.push(Fallback { names, action: otherwise });
}

fn rules_of<'p>(policy: &'p Policy, name: &str) -> impl Iterator<Item = &'p Rule> {
    policy.rules.iter().filter(move |rule| rule.names.iter().any(|known| known == name))
}

/// What a call gets whatever its arguments.
pub(crate) fn whole(policy: &Policy, name: &str) -> Option<Action> {
    let mut rules = rules_of(policy, name).peekable();
    if rules.peek().is_none() {
        let falls = policy.fallbacks.iter().any(|fallback| fallback.names.iter().any(|known| known == name));
        return (!falls).then_some(policy.default);
    }
    rules.find(|rule| rule.args.is_empty()).map(|rule| rule.action)
}

fn asks(policy: &Policy, name: &str) -> bool {
    let falls =
        |fallback: &Fallback| fallback.action == Action::Notify && fallback.names.iter().any(|known| known == name);
    rules_of(policy, name).any(|rule| rule.action == Action::Notify) || policy.fallbacks.iter().any(falls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Variant, number_of, policy_with};

    fn answer(choice: &Choice, notify: &[&str], name: &str, args: &[u64]) -> Action {
        let notify = notify.iter().map(|name| (*name).to_owned()).collect();
        let policy = policy_with(&Variant { notify, choice: choice.clone(), ..Variant::default() }).unwrap();
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let number = number_of(name, Arch::native()).unwrap();
        let decided = policy.decide(Arch::native(), number, &all);
        let program = crate::compile(&policy).unwrap().program;
        assert_eq!(program.eval(&crate::SeccompData::new(Arch::native(), number, all)), decided, "{name}");
        decided
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_list_is_all_there_is() {
        let allow = names(&["read", "write", "execve", "exit_group", "clone", "openat"]);
        let choice = Choice { listed_only: true, allow, ..Choice::default() };
        let get = |name: &str, args: &[u64]| answer(&choice, &["connect"], name, args);
        assert_eq!(get("read", &[]), Action::Allow);
        assert_eq!(get("getpid", &[]), EPERM);
        assert_eq!(get("clone", &[17]), Action::Allow);
        assert_eq!(get("clone", &[0x1000_0000]), EPERM);
        assert_eq!([get("clone3", &[]), get("io_uring_setup", &[])], [ENOSYS; 2]);
        assert_eq!(get("socket", &[2, 1, 0]), EPERM);
        assert_eq!(get("connect", &[]), Action::Notify);
    }

    #[test]
    fn what_is_denied_is_denied_whoever_else_allows_it() {
        let deny = names(&["ptrace", "openat", "socket"]);
        let choice = Choice { allow: names(&["ptrace"]), deny, sockets: Some(vec![Socket::Tcp]), ..Choice::default() };
        for name in ["ptrace", "openat", "socket"] {
            assert_eq!(answer(&choice, &["openat"], name, &[2, 1, 0]), EPERM, "{name}");
        }
    }

    #[test]
    fn what_the_default_refuses_can_be_had_and_is_told() {
        let choice = Choice { allow: names(&["io_uring_setup", "userfaultfd", "read"]), ..Choice::default() };
        assert_eq!(answer(&choice, &[], "userfaultfd", &[]), Action::Allow);
        assert_eq!(answer(&Choice::default(), &[], "userfaultfd", &[]), EPERM);
        let told: Vec<&str> = choice.beyond_default().into_iter().map(|(name, _)| name).collect();
        assert_eq!(told, ["io_uring_setup", "userfaultfd"]);
    }

    #[test]
    fn sockets_are_of_the_kinds_that_are_chosen() {
        let with = |kinds: &[Socket], family: i32, kind: i32, protocol: i32| {
            let choice = Choice { sockets: Some(kinds.to_vec()), ..Choice::default() };
            answer(&choice, &[], "socket", &[family as u64, kind as u64, protocol as u64]) == Action::Allow
        };
        let cases = [
            (Socket::Tcp, libc::AF_INET6, libc::SOCK_STREAM, 0),
            (Socket::Udp, libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
            (Socket::Icmp, libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
            (Socket::Unix, libc::AF_UNIX, libc::SOCK_STREAM, 0),
            (Socket::Netlink, libc::AF_NETLINK, libc::SOCK_RAW, 0),
        ];
        for (kind, family, of, protocol) in cases {
            assert!(with(&[kind], family, of, protocol), "{kind:?}");
            let others: Vec<Socket> = cases.iter().map(|case| case.0).filter(|other| *other != kind).collect();
            assert!(!with(&others, family, of, protocol), "{kind:?}");
        }
        assert!(!with(&[Socket::Icmp, Socket::Udp], libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP));
        let none = Choice { sockets: Some(Vec::new()), ..Choice::default() };
        assert_eq!(answer(&none, &[], "socketpair", &[1, 1, 0]), Action::Errno(libc::EAFNOSUPPORT as u16));
    }

    #[test]
    fn nothing_connects_but_connect() {
        let fast = |flags: usize| {
            let mut args = [0; 6];
            args[flags] = 0x2000_4000;
            args
        };
        let choice = Choice { connect_only: true, ..Choice::default() };
        for (name, flags) in SENDING {
            let flags = usize::from(*flags);
            assert_eq!(answer(&Choice::default(), &[], name, &fast(flags)), Action::Allow, "{name}");
            assert_eq!(answer(&choice, &[], name, &fast(flags)), EOPNOTSUPP, "{name}");
            assert_eq!(answer(&choice, &[], name, &fast(5 - flags)), Action::Allow, "{name}");
            let denied = Choice { deny: names(&[name]), ..choice.clone() };
            assert_eq!(answer(&denied, &[], name, &fast(flags)), EPERM, "{name}");
        }
    }

    #[test]
    fn driver_calls_are_those_that_are_listed() {
        let choice = Choice { ioctls: Some(vec![0x5413, 0x5412]), ..Choice::default() };
        assert_eq!(answer(&choice, &[], "ioctl", &[0, 0x5413]), Action::Allow);
        assert_eq!(answer(&choice, &[], "ioctl", &[0, 0x5401]), ENOTTY);
        // TIOCSTI is not brought back by a list.
        assert_eq!(answer(&choice, &[], "ioctl", &[0, 0x5412]), ENOTTY);
    }
}
