//! Malformed configs: each gives one clear line that names the place, and no plan.

use serde_json::{Value, json};
use zviz_runtime::spec::SpecError;
use zviz_runtime::{Host, Plan, Profile, spec};

#[path = "bad_configs/table.rs"]
mod table;
use table::CASES;

/// A config that is good, with the sections that the cases change.
fn good() -> Value {
    json!({
        "ociVersion": "1.2.1",
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "h",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] }
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }
            ],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] }
        }
    })
}

/// Puts `value` at a JSON pointer, whose last part may be `-` for a new item; an empty value takes the member away.
fn change(config: &mut Value, pointer: &str, value: &str) {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
    let parent = config.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: no parent"));
    let value: Option<Value> = (!value.is_empty()).then(|| serde_json::from_str(value).expect("JSON"));
    match (parent, value) {
        (Value::Array(items), Some(value)) if last == "-" => items.push(value),
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().expect("an index")] = value,
        (Value::Object(members), Some(value)) => drop(members.insert(last.to_owned(), value)),
        (Value::Object(members), None) => assert!(members.remove(last).is_some(), "{pointer}"),
        _ => panic!("{pointer}: cannot change"),
    }
}

fn host() -> Host {
    serde_json::from_str(include_str!("plans/host.json")).expect("facts of a host")
}

/// What is said about a config, a line for each fault.
fn answer(text: &str) -> Vec<String> {
    match spec::parse(text.as_bytes(), "/bundle") {
        Err(SpecError::Shape(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => vec![other.to_string()],
        Ok(spec) => match Plan::build(&spec, &Profile::none(), &host(), "bad") {
            Ok(plan) => vec![format!("ACCEPTED:\n{plan}")],
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        },
    }
}

#[test]
fn the_good_config_is_good() {
    assert!(answer(&good().to_string())[0].starts_with("ACCEPTED"));
}

#[test]
fn each_fault_gives_one_line_with_its_place() {
    let mut wrong = Vec::new();
    for (pointer, value, want) in CASES {
        let mut config = good();
        change(&mut config, pointer, value);
        let lines = answer(&config.to_string());
        if lines != [*want] {
            wrong.push(format!("{pointer} = {value}\n  want {want}\n  is   {}", lines.join("\n       ")));
        }
        assert!(lines.iter().all(|line| line.lines().count() == 1 || line.starts_with("ACCEPTED")), "{lines:?}");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 100);
}

#[test]
fn what_is_no_json_names_line_and_column() {
    for (text, want) in [
        ("", "config.json:1:0: EOF while parsing a value"),
        ("{", "config.json:1:1: EOF while parsing an object"),
        ("{\"a\": 1,}", "config.json:1:9: trailing comma"),
        ("{} {}", "config.json:1:4: trailing characters"),
        ("\u{feff}{}", "config.json:1:1: expected value"),
        ("{\n\n  \"ociVersion\": tru\n}", "config.json:4:0: expected ident"),
        ("{\"a\": \"\\ud800\"}", "config.json:1:14: unexpected end of hex escape"),
    ] {
        assert_eq!(answer(text), [want], "{text}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(answer(&deep), ["config.json:1:128: recursion limit exceeded"]);
    assert_eq!(answer("null"), ["the whole file: must be an object"]);
    assert_eq!(answer("[]"), ["the whole file: must be an object"]);
}

/// The typed form holds hash maps, whose order is another one each time they are filled.
#[test]
fn faults_are_said_in_one_order() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let of = |value: Value| names.iter().map(|name| ((*name).to_owned(), value.clone())).collect::<Value>();
    let mut config = good();
    config["linux"]["sysctl"] = of(json!("1"));
    config["linux"]["timeOffsets"] = of(json!({ "secs": 1 }));
    config["linux"]["netDevices"] = of(json!({ "name": "x/y" }));
    config["linux"]["resources"]["unified"] = of(json!("1"));
    config["linux"]["resources"]["rdma"] = json!({ "a b": {}, "c d": {}, "e f": {}, "g h": {} });
    let text = config.to_string();
    let first = answer(&text);
    assert!(first.len() > 40, "{first:?}");
    for _ in 0..20 {
        assert_eq!(answer(&text), first);
    }
}

#[test]
fn programs_about_devices_go_with_a_cgroup_to_divide() {
    let mut config = good();
    change(&mut config, "/linux/namespaces/-", r#"{ "type": "cgroup" }"#);
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").expect("a spec");
    let owner = |bpf_devices| {
        let mut profile = Profile::default();
        profile.broker.bpf_devices = bpf_devices;
        Plan::build(&spec, &profile, &host(), "devices").expect("a plan").cgroup.owner
    };
    assert_eq!((owner(false), owner(true)), (None, Some(0)));
}

#[test]
fn programs_about_devices_take_root_of_the_machine() {
    let mut profile = Profile { name: "devices".into(), ..Profile::default() };
    profile.broker.bpf_devices = true;
    let said = |profile: &Profile, host: &Host| {
        let spec = spec::parse(good().to_string().as_bytes(), "/bundle").expect("a spec");
        let problems = Plan::build(&spec, profile, host, "bad").err();
        problems.iter().flat_map(|all| all.iter()).map(ToString::to_string).collect::<Vec<_>>()
    };
    let may = host();
    assert_eq!(said(&profile, &may), [""; 0]);
    let lacks = |bit: u32| Host { capabilities: may.capabilities & !(1 << bit), ..may.clone() };
    let inside = Host { user_namespace: true, ..may.clone() };
    let plain = Profile { broker: Default::default(), ..profile.clone() };
    for host in [lacks(12), lacks(39), inside] {
        assert_eq!(said(&plain, &host), [""; 0]);
        let why = "profile devices: broker.bpf_devices: takes CAP_BPF and CAP_NET_ADMIN over the host, which only root of the \
                   machine has";
        assert_eq!(said(&profile, &host), [why]);
    }
}
