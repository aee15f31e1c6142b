//! The arguments at which the answers of a policy change, and the variants of the default policy.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use zviz_seccomp::{
    Action, Arch, CATEGORIES, Compare, NOTIFIABLE, Op, Policy, Rule, Variant, default_policy, policy_with,
};

/// What makes bits above those that the kernel looks at.
pub const HIGH: u64 = 0xdead_beef << 32;

/// Every built-in policy, by name, and what a profile can make of it.
pub fn variants() -> Vec<(&'static str, Policy)> {
    let ordinary = |name: &&str| !matches!(*name, "mount" | "umount2" | "pivot_root");
    let by_argument = [
        "ioctl",
        "ioprio_set",
        "personality",
        "prctl",
        "sched_setscheduler",
        "setns",
        "setsockopt",
        "socket",
        "socketpair",
        "unshare",
    ];
    let with = |notify: Vec<&str>, nested| {
        let notify = notify.into_iter().map(str::to_owned).collect();
        policy_with(&Variant { notify, nested, ..Variant::default() }).unwrap()
    };
    let may = |name: &&str| policy_with(&Variant { notify: vec![(*name).to_owned()], ..Variant::default() }).is_ok();
    let all = CATEGORIES.iter().flat_map(|category| category.calls.iter().copied()).filter(may);
    vec![
        ("default", default_policy()),
        ("nested", with(Vec::new(), true)),
        ("notify", with(NOTIFIABLE.to_vec(), false)),
        ("nested, notify", with(NOTIFIABLE.iter().copied().filter(ordinary).collect(), true)),
        ("notify by argument", with(by_argument.to_vec(), false)),
        ("notify all", with(all.collect(), false)),
    ]
}

/// Docker's default filter, from the config.json that it writes: i386 and x32 as well.
pub fn docker() -> Policy {
    const CONFIG: &str = include_str!("../../../zviz-runtime/tests/plans/docker-default/config.json");
    let config: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    let seccomp = &config["linux"]["seccomp"];
    let action = |name: &serde_json::Value, errno: &serde_json::Value| {
        Action::from_oci(name.as_str().unwrap(), errno.as_u64().map(|errno| errno as u16)).unwrap()
    };
    let mut policy = Policy::new(action(&seccomp["defaultAction"], &seccomp["defaultErrnoRet"]));
    let archs = seccomp["architectures"].as_array().unwrap();
    policy.architectures = archs.iter().map(|arch| arch.as_str().unwrap().parse::<Arch>().unwrap()).collect();
    for given in seccomp["syscalls"].as_array().unwrap() {
        let names = given["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let mut rule = Rule::new(names, action(&given["action"], &given["errnoRet"]));
        for arg in given["args"].as_array().into_iter().flatten() {
            let value = |of: &str| arg[of].as_u64().unwrap_or(0);
            let compare =
                Compare::from_oci(value("index") as u8, arg["op"].as_str().unwrap(), value("value"), value("valueTwo"));
            rule.args.push(compare.unwrap());
        }
        policy.rules.push(rule);
    }
    policy
}

/// Around what a policy's rules on a call compare with.
pub fn sets_of(policy: &Policy, call: &str) -> Vec<[u64; 6]> {
    let rules = policy.rules.iter().filter(|rule| rule.names.iter().any(|name| name == call));
    let compares: Vec<Compare> = rules.flat_map(|rule| rule.args.iter().copied()).collect();
    sets(&compares)
}

/// Every combination of the values that rules compare with, for up to three arguments, and what lies beside them.
pub fn sets(compares: &[Compare]) -> Vec<[u64; 6]> {
    let mut sets = vec![[0; 6]];
    for index in 0..6u8 {
        let mut values: Vec<u64> = compares.iter().filter(|c| c.index == index).map(|c| c.value).collect();
        values.extend(compares.iter().filter(|c| c.index == index).map(|c| match c.op {
            Op::MaskedEq(mask) => c.value ^ (mask & mask.wrapping_neg()),
            _ => c.value.wrapping_sub(1),
        }));
        values.sort_unstable();
        values.dedup();
        let Some(first) = values.first().copied() else { continue };
        values.push(first | HIGH);
        values.push(u64::MAX);
        sets = sets.iter().flat_map(|set| values.iter().map(|value| with(*set, index, *value))).collect();
    }
    sets.push([u64::MAX; 6]);
    sets
}

fn with(mut set: [u64; 6], index: u8, value: u64) -> [u64; 6] {
    set[usize::from(index)] = value;
    set
}
