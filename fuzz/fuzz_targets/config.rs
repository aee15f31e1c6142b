//! Any bytes as a config.json: a plan or an answer in words, never a panic; and a plan survives its state file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use zviz_runtime::plan::{Changes, Exec};
use zviz_runtime::{Host, Plan, Profile, spec};

const ROOT: &str = include_str!("../../zviz-runtime/tests/plans/host.json");
const ROOTLESS: &str = include_str!("../../zviz-runtime/tests/plans/rootless-subids/host.json");

static HOSTS: LazyLock<[Host; 2]> =
    LazyLock::new(|| [ROOT, ROOTLESS].map(|text| serde_json::from_str(text).expect("facts of a host")));

fuzz_target!(|data: &[u8]| {
    let spec = match spec::parse(data, "/bundle") {
        Ok(spec) => spec,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for host in HOSTS.iter() {
        for profile in [Profile::none(), Profile::default()] {
            match Plan::build(&spec, &profile, host, "fuzz") {
                Ok(plan) => check(&plan, host),
                Err(problems) => assert!(!problems.to_string().is_empty()),
            }
        }
    }
});

fn check(plan: &Plan, host: &Host) {
    assert!(!plan.to_string().is_empty());
    let json = serde_json::to_string(plan).expect("a plan is data");
    assert_eq!(&serde_json::from_str::<Plan>(&json).expect("the same data"), plan);
    let changes = Changes { args: vec!["sh".into()], ..Changes::default() };
    let exec = Plan::build_exec(plan, &Exec::Changes(changes), host, 1);
    assert!(exec.is_ok_and(|exec| exec.mounts.is_empty() && exec.process.no_new_privs == plan.process.no_new_privs));
}
