//! Golden cases: a config and the facts of a host, and the plan they give, in words.
//!
//! `UPDATE_GOLDEN=1 cargo test -p zviz-runtime --test golden` writes the plans anew; the difference is for a review.

use std::fs;
use std::path::{Path, PathBuf};
use zviz_runtime::profile::built_in;
use zviz_runtime::profile::lower::{Context, lower};
use zviz_runtime::{Host, Plan, Profile, spec};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let entries = fs::read_dir(&root).expect("tests/plans");
    let mut cases: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    cases
}

fn host(case: &Path) -> Host {
    let own = case.join("host.json");
    let path = if own.exists() { own } else { case.join("../host.json") };
    serde_json::from_slice(&fs::read(&path).expect("host.json")).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The profile is in `profile.yaml`, or named by an empty file `profile-default`; without either there is none.
fn profile(case: &Path) -> Profile {
    let Ok(text) = fs::read_to_string(case.join("profile.yaml")) else {
        return if case.join("profile-default").exists() { Profile::default() } else { Profile::none() };
    };
    let text = zviz_profile::Text { file: "profile.yaml".into(), text };
    let base = |name: &str| built_in::text(name).ok_or_else(|| format!("there is no profile {name:?}"));
    let document = zviz_profile::read(&text, &base).unwrap_or_else(|faults| panic!("{faults}"));
    lower(&document, &Context { home: Some("/root".into()) }).unwrap_or_else(|faults| panic!("{faults}"))
}

fn words(case: &Path) -> String {
    let text = fs::read(case.join("config.json")).expect("config.json");
    let spec = match spec::parse(&text, "/bundle") {
        Ok(spec) => spec,
        Err(error) => return format!("{error}\n"),
    };
    match Plan::build(&spec, &profile(case), &host(case), "golden") {
        Ok(plan) => plan.to_string(),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

#[test]
fn plans_are_as_they_were() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let cases = cases();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    let mut changed = Vec::new();
    for case in &cases {
        let (path, now) = (case.join("plan.txt"), words(case));
        let before = fs::read_to_string(&path).unwrap_or_default();
        if update {
            fs::write(&path, &now).expect("plan.txt");
        } else if before != now {
            let differs = before.lines().zip(now.lines()).find(|(a, b)| a != b);
            changed.push(format!("{}: {differs:?}", path.display()));
        }
    }
    assert!(changed.is_empty(), "changed plans (UPDATE_GOLDEN=1 writes them):\n{}", changed.join("\n"));
}

#[test]
fn a_plan_survives_its_state_file() {
    for case in cases() {
        let text = fs::read(case.join("config.json")).expect("config.json");
        let Ok(spec) = spec::parse(&text, "/bundle") else { continue };
        let Ok(plan) = Plan::build(&spec, &profile(&case), &host(&case), "golden") else { continue };
        let json = serde_json::to_string(&plan).expect("a plan is data");
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("the same data"), plan, "{}", case.display());
    }
}
