//! Which devices a container may open or make: rules in order, where the last that speaks of an access decides.

use crate::plan::Problems;
use oci_spec::runtime as oci;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Reading, writing and mknod(2), as the kernel's bits (`BPF_DEVCG_ACC_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// `rwm`.
    pub const ALL: Access = Access(7);
    const LETTERS: [(char, u8); 3] = [('r', 2), ('w', 4), ('m', 1)];

    /// The kernel's bits.
    pub fn bits(self) -> u8 {
        self.0
    }

    fn read(text: &str) -> Option<Access> {
        let bit = |c| Self::LETTERS.iter().find(|(letter, _)| *letter == c).map(|(_, bit)| bit);
        let bits = text.chars().try_fold(0, |bits, c| bit(c).map(|b| bits | b))?;
        (bits != 0).then_some(Access(bits))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// The sort of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Either.
    All,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// One rule. Its text form is `allow c 136:* rw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rule {
    /// Whether it grants or takes.
    pub allow: bool,
    /// Which sort of node.
    pub node: Node,
    /// Any where absent.
    pub major: Option<u32>,
    /// Any where absent.
    pub minor: Option<u32>,
    /// What it speaks of.
    pub access: Access,
}

impl Rule {
    const fn allow(node: Node, major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { allow: true, node, major, minor, access }
    }

    /// Whether it speaks of every access to every device, so that rules before it do not count.
    pub fn is_total(&self) -> bool {
        self.node == Node::All && self.major.is_none() && self.minor.is_none() && self.access == Access::ALL
    }

    /// Node and numbers in the kernel's notation: `c 136:*`.
    pub fn device(&self) -> String {
        let node = match self.node {
            Node::All => 'a',
            Node::Char => 'c',
            Node::Block => 'b',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        format!("{node} {}:{}", number(self.major), number(self.minor))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", if self.allow { "allow" } else { "deny" }, self.device(), self.access)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> String {
        rule.to_string()
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let mut words = text.split(' ');
            let allow = matches!(words.next()?, "allow");
            let node = match words.next()? {
                "a" => Node::All,
                "c" => Node::Char,
                "b" => Node::Block,
                _ => return None,
            };
            let (major, minor) = words.next()?.split_once(':')?;
            let number = |n: &str| if n == "*" { Some(None) } else { n.parse().ok().map(Some) };
            let rule = Rule {
                allow,
                node,
                major: number(major)?,
                minor: number(minor)?,
                access: Access::read(words.next()?)?,
            };
            (rule.to_string() == text).then_some(rule)
        };
        read().ok_or_else(|| format!("{text:?} is not a device rule"))
    }
}

/// What every container may use, whatever its rules: (path, rule). Making a node is harmless, since opening it is what
/// the rules are about. /dev/net/tun is runc's, kept since engines rely on it (opencontainers/runc#3468).
const ALWAYS: [(Option<&str>, Rule); 11] = [
    (None, Rule::allow(Node::Char, None, None, Access(1))),
    (None, Rule::allow(Node::Block, None, None, Access(1))),
    (Some("/dev/null"), Rule::allow(Node::Char, Some(1), Some(3), Access::ALL)),
    (Some("/dev/random"), Rule::allow(Node::Char, Some(1), Some(8), Access::ALL)),
    (Some("/dev/full"), Rule::allow(Node::Char, Some(1), Some(7), Access::ALL)),
    (Some("/dev/tty"), Rule::allow(Node::Char, Some(5), Some(0), Access::ALL)),
    (Some("/dev/zero"), Rule::allow(Node::Char, Some(1), Some(5), Access::ALL)),
    (Some("/dev/urandom"), Rule::allow(Node::Char, Some(1), Some(9), Access::ALL)),
    // Pseudo-terminals, and the way to them.
    (None, Rule::allow(Node::Char, Some(136), None, Access::ALL)),
    (None, Rule::allow(Node::Char, Some(5), Some(2), Access::ALL)),
    (None, Rule::allow(Node::Char, Some(10), Some(200), Access::ALL)),
];

/// The rules of a config.json, and after them what every container may use but where `linux.devices` has a node of its
/// own at the same path. The first rule denies all, or allows all where the config says so.
pub fn plan(linux: Option<&oci::Linux>, problems: &mut Problems) -> Vec<Rule> {
    let total = |allow| Rule { allow, node: Node::All, major: None, minor: None, access: Access::ALL };
    let mut rules = vec![total(false)];
    let asked = linux.and_then(|l| l.resources().as_ref()).and_then(|r| r.devices().as_ref());
    for (i, device) in asked.into_iter().flatten().enumerate() {
        let mut problem = |field: &str, what: String| {
            problems.add(format!("linux.resources.devices[{i}]{field}"), what);
        };
        let node = match device.typ() {
            None | Some(oci::LinuxDeviceType::A) => Node::All,
            Some(oci::LinuxDeviceType::C) => Node::Char,
            Some(oci::LinuxDeviceType::B) => Node::Block,
            Some(other) => {
                problem(".type", format!("{other:?} is not \"a\", \"b\" or \"c\"").to_lowercase());
                continue;
            }
        };
        let mut number = |field: &str, n: Option<i64>| match n {
            None | Some(-1) => None,
            Some(n) => u32::try_from(n).map_err(|_| problem(field, format!("{n} is not a device number"))).ok(),
        };
        let (major, minor) = (number(".major", device.major()), number(".minor", device.minor()));
        let text = device.access().as_deref().unwrap_or_default();
        let Some(access) = Access::read(text) else {
            problem(".access", format!("{text:?} is not made of \"r\", \"w\" and \"m\""));
            continue;
        };
        let rule = Rule { allow: device.allow(), node, major, minor, access };
        if rule.is_total() {
            rules.clear();
        }
        rules.push(rule);
    }
    let nodes = linux.and_then(|l| l.devices().as_ref());
    let replaced = |path: &str| nodes.into_iter().flatten().any(|d| d.path().to_str() == Some(path));
    rules.extend(ALWAYS.iter().filter(|(path, _)| !path.is_some_and(replaced)).map(|(_, rule)| *rule));
    rules
}

/// The rules as the exceptions that version 1 keeps: from "all" or "none", and a list. It can take back only what was
/// given in the same words.
///
/// # Errors
/// The rule that would need a hole in another.
pub fn exceptions(rules: &[Rule]) -> Result<(bool, Vec<Rule>), String> {
    let mut default = false;
    let mut list: Vec<Rule> = Vec::new();
    for rule in rules {
        if rule.is_total() {
            default = rule.allow;
            list.clear();
            continue;
        }
        // Version 1 has no rule for both sorts of node but the total one.
        let nodes: &[Node] = if rule.node == Node::All { &[Node::Char, Node::Block] } else { &[rule.node] };
        for &node in nodes {
            let rule = Rule { node, ..*rule };
            if rule.allow != default {
                list.push(rule);
                continue;
            }
            for held in list.iter_mut().filter(|held| held.node == node && held.access.0 & rule.access.0 != 0) {
                let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
                let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
                if covers(rule.major, held.major) && covers(rule.minor, held.minor) {
                    held.access.0 &= !rule.access.0;
                } else if meets(rule.major, held.major) && meets(rule.minor, held.minor) {
                    return Err(format!("\"{rule}\" would make a hole in \"{held}\", which cgroup v1 cannot"));
                }
            }
            list.retain(|held| held.access.0 != 0);
        }
    }
    Ok((default, list))
}
