//! A cgroup as the properties of a systemd unit. systemd.resource-control(5), and org.freedesktop.systemd1(5) for the
//! names and units on the bus, which differ from those of unit files.
//!
//! systemd rewrites what it knows of, on a reload for one. So it is told all that it can keep, and what it cannot is
//! written into the cgroup afterwards; the names and conversions are those of runc, which tools look at.

use super::Cgroup;
use super::devices::{Node, Rule, exceptions};
use super::path::Unit;
use super::resources::Resources;
use super::v2::{cpu_weight, swap};

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`.
    Bool(bool),
    /// `t`; `u64::MAX` is no limit.
    Number(u64),
    /// `s`.
    Text(String),
    /// `as`.
    Texts(Vec<String>),
    /// `ay`: a set of processors or nodes, bit 0 of byte 0 first.
    Bits(Vec<u8>),
    /// `a(ss)`: devices and accesses.
    Pairs(Vec<(String, String)>),
}

/// A property.
pub type Property = (&'static str, Value);

/// What the unit is when it starts.
pub fn start(unit: &Unit, cgroup: &Cgroup, version: u32) -> Vec<Property> {
    let mut out = vec![
        ("Description", Value::Text(format!("zviz container {}", unit.description))),
        ("DefaultDependencies", Value::Bool(false)),
        ("MemoryAccounting", Value::Bool(true)),
        ("CPUAccounting", Value::Bool(true)),
        (if cgroup.is_unified() { "IOAccounting" } else { "BlockIOAccounting" }, Value::Bool(true)),
        ("TasksAccounting", Value::Bool(true)),
    ];
    if unit.is_slice() {
        out.push(("Wants", Value::Texts(vec![unit.slice.clone()])));
    } else {
        out.push(("Slice", Value::Text(unit.slice.clone())));
        // Ours to make cgroups in, and left alone by systemd.
        out.push(("Delegate", Value::Bool(true)));
    }
    // Only a unit that is about to start takes it, and scopes only since 253.
    if version >= 253
        && let Some(policy) = match cgroup.resources.unified.get("memory.oom.group").map(|v| v.trim()) {
            Some("0") => Some("continue"),
            Some("1") => Some("kill"),
            _ => None,
        }
    {
        out.push(("OOMPolicy", Value::Text(policy.to_owned())));
    }
    if let Some(rules) = &cgroup.devices {
        devices(rules, version, &mut out);
    }
    out.extend(limits(cgroup, version));
    out
}

/// The limits, at the start and for an update.
pub fn limits(cgroup: &Cgroup, version: u32) -> Vec<Property> {
    let Resources { memory, cpu, block_io, .. } = &cgroup.resources;
    let unified = cgroup.is_unified();
    let mut out = Vec::new();
    let mut number = |name, value: Option<u64>| out.extend(value.map(|v| (name, Value::Number(v))));
    number(if unified { "MemoryMax" } else { "MemoryLimit" }, memory.limit.map(limit));
    if unified {
        number("MemoryLow", memory.reservation.map(limit));
        number("MemorySwapMax", swap(memory).ok().flatten().map(limit));
        // 0 is systemd's word for idle.
        match cpu.idle {
            Some(1) if version >= 252 => number("CPUWeight", Some(0)),
            _ => number("CPUWeight", cpu.shares.map(cpu_weight)),
        }
    } else {
        number("CPUShares", cpu.shares);
        number("BlockIOWeight", block_io.weight.map(u64::from));
    }
    // With a broker beside it that limit is for the container's part alone.
    number("TasksMax", if cgroup.parted { Some(u64::MAX) } else { cgroup.resources.pids.map(limit) });
    quota(cpu.quota, cpu.period, version, &mut out);
    if version >= 244 {
        let sets = [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)];
        out.extend(sets.into_iter().filter_map(|(name, list)| Some((name, Value::Bits(bits(list.as_deref()?)?)))));
    }
    let of_all = |(file, _): &(&String, &String)| !(cgroup.parted && file.starts_with("pids."));
    for (file, value) in cgroup.resources.unified.iter().filter(of_all) {
        from_unified(file, value.trim(), version, &mut out);
    }
    out
}

/// -1, and all below, is no limit.
fn limit(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// systemd keeps the quota as time in a second of time, in whole percent; it is rounded up, so that the cgroup may be
/// given the exact one.
fn quota(quota: Option<i64>, period: Option<u64>, version: u32, out: &mut Vec<Property>) {
    if let (Some(period), true) = (period, version >= 242) {
        out.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if quota.is_some() || period.is_some() {
        let per_second = match quota.map(u64::try_from) {
            Some(Ok(quota)) => {
                let exact = u128::from(quota) * 1_000_000 / u128::from(period.unwrap_or(100_000).max(1));
                u64::try_from(exact.div_ceil(10_000) * 10_000).unwrap_or(u64::MAX)
            }
            _ => u64::MAX,
        };
        out.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
}

/// What of `unified` systemd has a property for. A value that it would refuse is left for the kernel to refuse.
fn from_unified(file: &str, value: &str, version: u32, out: &mut Vec<Property>) {
    let number = || if value == "max" { Some(u64::MAX) } else { value.parse::<u64>().ok() };
    let name = match file {
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "cpu.weight" => "CPUWeight",
        "pids.max" => "TasksMax",
        "cpu.max" => {
            let (time, period) = value.split_once(' ').map_or((value, None), |(t, p)| (t, p.trim().parse().ok()));
            return quota(time.parse().ok(), period.or(Some(100_000)), version, out);
        }
        "cpuset.cpus" | "cpuset.mems" if version >= 244 => {
            let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            out.extend(bits(value).map(|bits| (name, Value::Bits(bits))));
            return;
        }
        _ => return,
    };
    // `unified` has the last word.
    out.retain(|(other, _)| *other != name);
    out.extend(number().map(|n| (name, Value::Number(if name == "TasksMax" { n.max(1) } else { n }))));
}

/// `0-2,7` as a set of bits.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        // No machine has more; a mistyped number must not fill the memory.
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok().filter(|&n| n < 65_536)?);
        for n in first..=last {
            if out.len() <= n / 8 {
                out.resize(n / 8 + 1, 0u8);
            }
            out[n / 8] |= 1 << (n % 8);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Device rules. systemd knows lists of allowed devices only; ours is put beside or over it, so that one it cannot say
/// is denied until then.
fn devices(rules: &[Rule], version: u32, out: &mut Vec<Property>) {
    // A list is added to: the empty one clears what the unit has.
    out.push(("DeviceAllow", Value::Pairs(Vec::new())));
    let (default, list) = exceptions(rules).unwrap_or((false, Vec::new()));
    if default && list.is_empty() {
        out.push(("DevicePolicy", Value::Text("auto".to_owned())));
        return;
    }
    out.push(("DevicePolicy", Value::Text("strict".to_owned())));
    if default {
        return;
    }
    let path = |rule: &Rule| {
        let sort = if rule.node == Node::Block { "block" } else { "char" };
        match (rule.major, rule.minor) {
            (None, None) => Some(format!("{sort}-*")),
            (Some(major), None) if version >= 240 => Some(format!("{sort}-{major}")),
            (Some(major), Some(minor)) => Some(format!("/dev/{sort}/{major}:{minor}")),
            _ => None,
        }
    };
    let pairs = list.iter().filter_map(|rule| Some((path(rule)?, rule.access.to_string()))).collect();
    out.push(("DeviceAllow", Value::Pairs(pairs)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_bits() {
        assert_eq!(bits("0-2,7, 9"), Some(vec![0b1000_0111, 0b10]));
        assert_eq!(bits("8"), Some(vec![0, 1]));
        assert_eq!(bits(" , "), None);
        assert_eq!(bits("0-99999999999"), None);
    }

    #[test]
    fn quotas_are_rounded_up_to_percents() {
        let of = |q, p| {
            let mut out = Vec::new();
            quota(q, p, 252, &mut out);
            out.into_iter().rfind(|(name, _)| *name == "CPUQuotaPerSecUSec").map(|(_, value)| value)
        };
        assert_eq!(of(Some(50_000), None), Some(Value::Number(500_000)));
        assert_eq!(of(Some(12_345), Some(100_000)), Some(Value::Number(130_000)));
        assert_eq!(of(Some(-1), Some(100_000)), Some(Value::Number(u64::MAX)));
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn properties_of_a_scope() {
        let mut cgroup = Cgroup::none();
        cgroup.resources.memory.limit = Some(1 << 20);
        cgroup.resources.pids = Some(-1);
        cgroup.resources.unified.insert("memory.max".to_owned(), "2097152".to_owned());
        cgroup.resources.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
        let allow = |text: &str| Rule::try_from(text.to_owned()).unwrap();
        cgroup.devices = Some(vec![allow("deny a *:* rwm"), allow("allow c 1:3 rw"), allow("allow c 136:* rwm")]);
        let slice = "system.slice".to_owned();
        let unit = Unit { name: "zviz-a.scope".to_owned(), slice, user: false, description: "a".to_owned() };
        let properties = start(&unit, &cgroup, 257);
        let get = |name| properties.iter().filter(|(n, _)| *n == name).map(|(_, v)| v).collect::<Vec<_>>();
        assert_eq!(get("MemoryMax"), [&Value::Number(2 << 20)]);
        assert_eq!(get("TasksMax"), [&Value::Number(u64::MAX)]);
        assert_eq!(get("OOMPolicy"), [&Value::Text("kill".to_owned())]);
        assert_eq!(get("Slice"), [&Value::Text("system.slice".to_owned())]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let pairs = vec![pair("/dev/char/1:3", "rw"), pair("char-136", "rwm")];
        assert_eq!(get("DeviceAllow"), [&Value::Pairs(Vec::new()), &Value::Pairs(pairs)]);
    }
}
