//! What holds of every plan, whatever the config, the host and the profile.

#[path = "laws/generate.rs"]
mod generate;

use generate::{CALLS, case, profiles, seccomp};
use proptest::prelude::*;
use serde_json::{Value, json};
use zviz_runtime::plan::mounts::attr;
use zviz_runtime::plan::{Capabilities, MountKind};
use zviz_runtime::{Host, Plan, Profile, spec};
use zviz_seccomp::{Arch, compile, may_finish_init, number_of};

fn plan(config: &Value, profile: &Profile, host: &Host) -> Result<Plan, String> {
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").map_err(|e| e.to_string())?;
    Plan::build(&spec, profile, host, "law").map_err(|e| e.to_string())
}

fn within(inner: Capabilities, outer: Capabilities) -> bool {
    let pairs = [
        (inner.bounding, outer.bounding),
        (inner.effective, outer.effective),
        (inner.permitted, outer.permitted),
        (inner.inheritable, outer.inheritable),
        (inner.ambient, outer.ambient),
    ];
    pairs.iter().all(|(inner, outer)| inner & !outer == 0)
}

/// How strict a plan's filter is to a call: less is stricter.
fn answer(plan: &Plan, name: &str, args: &[u64; 6]) -> u8 {
    let number = number_of(name, Arch::native()).expect("a call of this machine");
    plan.seccomp.as_ref().map_or(u8::MAX, |s| s.policy.decide(Arch::native(), number, args).rank())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Parsed anew, every hash map and set has another order: none of it may show.
    #[test]
    fn the_same_input_gives_the_same_plan((config, host) in case(), profiles in profiles()) {
        let first = plan(&config, &profiles.0, &host);
        prop_assert_eq!(&first, &plan(&config, &profiles.0, &host));
        if let Ok(first) = first {
            prop_assert_eq!(first.to_string(), plan(&config, &profiles.0, &host).expect("the same").to_string());
        }
    }

    #[test]
    fn a_plan_grants_no_more_than_the_spec((config, host) in case(), profiles in profiles()) {
        let Ok(plan) = plan(&config, &profiles.0, &host) else { return Ok(()) };
        let listed = |set: &str| {
            let names = config["process"]["capabilities"][set].as_array().cloned().unwrap_or_default();
            names.iter().filter_map(|n| zviz_runtime::plan::capabilities::number(n.as_str()?)).fold(0, |m, n| m | 1 << n)
        };
        let spec = Capabilities {
            bounding: listed("bounding"),
            effective: listed("effective"),
            permitted: listed("permitted"),
            inheritable: listed("inheritable"),
            ambient: listed("ambient"),
        };
        prop_assert!(within(plan.process.capabilities, spec));
        prop_assert!(plan.process.no_new_privs || config["process"]["noNewPrivileges"] == false);
        prop_assert!(plan.rootfs.as_ref().is_some_and(|r| r.readonly) || config["root"]["readonly"] == false);
        for (list, given) in [(&plan.masked_paths, "maskedPaths"), (&plan.readonly_paths, "readonlyPaths")] {
            for path in config["linux"][given].as_array().into_iter().flatten() {
                prop_assert!(list.iter().any(|p| path == p));
            }
        }
        for (i, given) in config["mounts"].as_array().into_iter().flatten().enumerate() {
            let words: Vec<&str> = given["options"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let last = words.iter().rfind(|w| ["ro", "rw"].contains(w));
            for mount in plan.mounts.iter().filter(|m| m.origin == format!("mounts[{i}]")) {
                let link = matches!(mount.kind, MountKind::Symlink { .. });
                let readonly = mount.late_readonly || mount.attributes.set & attr::RDONLY != 0;
                prop_assert!(link || readonly || last != Some(&"ro"), "{mount:?}");
            }
        }
    }

    #[test]
    fn a_plan_grants_no_more_than_the_profile((config, host) in case(), profiles in profiles()) {
        let (profile, _) = profiles;
        let Ok(plan) = plan(&config, &profile, &host) else { return Ok(()) };
        let all = profile.capabilities;
        let most = Capabilities { bounding: all, effective: all, permitted: all, inheritable: all, ambient: all };
        prop_assert!(within(plan.process.capabilities, most));
        prop_assert!(plan.process.no_new_privs || !profile.no_new_privs);
        prop_assert!(plan.seccomp.is_some() || !profile.seccomp);
        let said = plan.notes.iter().any(|note| note.0.starts_with("landlock: "));
        prop_assert!(plan.landlock.is_some() || !profile.landlock || said);
    }

    #[test]
    fn a_stricter_profile_gives_no_weaker_plan(
        (config, host) in case(), profiles in profiles(),
        name in prop::sample::select(&["mkdir", "ptrace", "clone", "unshare", "mount", "socket"][..]),
        args in prop::array::uniform6(0_u64..40),
    ) {
        let (loose, strict) = profiles;
        let (Ok(loose), Ok(strict)) = (plan(&config, &loose, &host), plan(&config, &strict, &host)) else {
            return Ok(());
        };
        prop_assert!(within(strict.process.capabilities, loose.process.capabilities));
        prop_assert!(strict.process.no_new_privs || !loose.process.no_new_privs);
        prop_assert!(strict.landlock.is_some() || loose.landlock.is_none());
        prop_assert!(answer(&strict, name, &args) <= answer(&loose, name, &args), "{name} {args:?}");
        // A profile changes nothing else.
        prop_assert_eq!(&strict.mounts, &loose.mounts);
        prop_assert_eq!(&strict.namespaces, &loose.namespaces);
        prop_assert_eq!(&strict.devices, &loose.devices);
        prop_assert_eq!(&strict.cgroup, &loose.cgroup);
    }

    /// Whatever the arguments: those of init are not known when a filter is planned.
    #[test]
    fn a_planned_filter_lets_init_finish(
        seccomp in seccomp(CALLS), own in any::<bool>(), args in prop::array::uniform6(0_u64..12),
    ) {
        let config = json!({
            "ociVersion": "1.2.0", "root": { "path": "rootfs" },
            "process": { "args": ["sh"], "cwd": "/" },
            "linux": { "namespaces": [{ "type": "mount" }], "seccomp": seccomp }
        });
        let host: Host = serde_json::from_str(include_str!("plans/host.json")).expect("facts of a host");
        let profile = Profile { seccomp: own, no_new_privs: own, ..Profile::none() };
        let Ok(plan) = plan(&config, &profile, &host) else { return Ok(()) };
        if let Some(seccomp) = &plan.seccomp {
            let program = compile(&seccomp.policy).expect("a program").program;
            let mut needed = ["write", "read", "execve", "exit_group"].map(|name| (name, args)).to_vec();
            if !plan.process.no_new_privs {
                needed.push(("capset", args));
            }
            prop_assert_eq!(may_finish_init(&program, &needed), Ok(()));
        }
    }
}

/// The laws would hold of nothing if nothing could be planned.
#[test]
fn enough_of_what_is_generated_can_be_planned() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut planned = 0;
    for _ in 0..300 {
        let (config, host) = case().new_tree(&mut runner).expect("a value").current();
        planned += usize::from(plan(&config, &Profile::none(), &host).is_ok());
    }
    assert!(planned > 200, "{planned} of 300");
}
