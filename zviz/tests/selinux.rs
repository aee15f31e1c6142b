//! A profile's SELinux label is in force. The policy's word is waited for while it enforces, which is the whole machine's: so
//! this is for a machine that is the test's own (tests/vm).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Bundle, bundle, requires, run, skip};

const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// A domain of the reference policy, which executes no file that is not labelled for it.
const LABEL: &str = "system_u:system_r:container_t:s0";
/// Executes a program again and again, and tells what it was last refused.
const SCRIPT: &str = "label=$(cat /proc/self/attr/current); refused=none; cd /w; \
                      while [ ! -e end ]; do said=$(/bin/busybox true 2>&1) || refused=$said; \
                      echo \"$label $refused\" > said; sleep 0.1; done 2>/dev/null";

fn started(name: &str, profile: Option<&str>) -> Option<Bundle> {
    let bundle = bundle(name, &["sh", "-c", SCRIPT])?;
    let folder = bundle.folder("profiles");
    fs::write(format!("{folder}/own.yaml"), format!("name: own\nextends: default\n{}", profile.unwrap_or_default()))
        .unwrap();
    fs::write(bundle.file("config.yaml"), format!("annotations: {{folder: {folder}}}\n")).unwrap();
    fs::create_dir(bundle.rootfs("w")).unwrap();
    bundle.edit(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["annotations"] = json!({ "zviz.io/profile": "own" });
    });
    let config = bundle.file("config.yaml");
    let mut command =
        bundle.command(&["--config", &config, "run", "--detach", "--bundle", bundle.path(), &bundle.name]);
    let error = fs::File::create(bundle.file("error")).unwrap();
    let status = command.stdout(std::process::Stdio::null()).stderr(error).status().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(bundle.file("error")).unwrap());
    Some(bundle)
}

/// What it says, as soon as it says this.
fn says(bundle: &Bundle, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let said = fs::read_to_string(bundle.rootfs("w/said")).unwrap_or_default();
        if said.contains(words) && said.ends_with('\n') {
            return said.trim().to_owned();
        }
        assert!(Instant::now() < deadline, "{words:?} is not in {said:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Back to what was before, whatever becomes of the test.
struct Permissive;

impl Drop for Permissive {
    fn drop(&mut self) {
        let _ = fs::write(ENFORCE, "0");
    }
}

#[test]
fn a_label_of_a_profile_is_in_force() {
    requires!(root, program "busybox", file "/sys/fs/selinux/enforce");
    let test = "selinux::a_label_of_a_profile_is_in_force";
    if std::env::var_os("ZVIZ_MAY_ENFORCE").is_none() || fs::read_to_string(ENFORCE).unwrap() != "0" {
        return skip(test, "turns enforcing on and off: not where the machine is somebody's (ZVIZ_MAY_ENFORCE)");
    }
    let label = format!("lsm: {{type: selinux, profile: \"{LABEL}\"}}\n");
    let (Some(labelled), Some(plain)) = (started("labelled", Some(&label)), started("unlabelled", None)) else {
        return;
    };
    assert_eq!(says(&labelled, "none"), format!("{LABEL} none"), "the control: where nothing is enforced");
    let own = says(&plain, "none");
    assert!(!own.contains("container_t"), "{own}");
    // A second process has it too.
    assert!(labelled.ok(&["exec", &labelled.name, "cat", "/proc/self/attr/current"]).starts_with(LABEL));

    let back = Permissive;
    fs::write(ENFORCE, "1").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    drop(back);
    let refused = says(&labelled, "ermission denied");
    assert!(refused.starts_with(LABEL), "{refused}");
    assert!(says(&plain, "none") == own, "the control: without the label");
    let log = run(&mut Command::new("dmesg")).ok();
    let denied = |line: &&str| line.contains("avc:  denied") && line.contains(&format!("scontext={LABEL}"));
    let line = log.lines().filter(denied).find(|line| line.contains("permissive=0"));
    assert!(line.is_some(), "{:?}", log.lines().filter(denied).collect::<Vec<_>>());
    println!("{}", line.unwrap());
    // Of who was refused it is told by which rule, of the other nothing.
    let told = |bundle: &Bundle| bundle.ok(&["why", &bundle.name]);
    let (denied, free) = (told(&labelled), told(&plain));
    println!("{denied}");
    assert!(denied.contains("zviz: denied by selinux: ") && denied.contains("lets container_t not "), "{denied}");
    assert!(denied.contains("add to the policy of SELinux: allow container_t "), "{denied}");
    assert!(!free.contains("selinux"), "{free}");
    for bundle in [&labelled, &plain] {
        bundle.ok(&["delete", "--force", &bundle.name]);
        bundle.leaves_nothing();
    }
}
