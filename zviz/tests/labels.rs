//! What AppArmor forbids a container, the broker does not do for it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "a part is used")]
#[path = "broker/listen/served.rs"]
mod served;
mod support;

use serde_json::json;
use served::{Place, Runtime, with_capabilities};
use std::fs;
use std::path::Path;
use std::process::Command;
use support::{requires, run};

/// A profile of the kernel's, as long as it lives.
struct Profile {
    file: std::path::PathBuf,
    name: String,
}

impl Profile {
    /// Allows everything but what `rule` denies.
    fn load(folder: &Path, rule: &str) -> Self {
        let name = format!("zviz-test-{}", std::process::id());
        let file = folder.join("profile");
        let flags = "flags=(attach_disconnected,mediate_deleted)";
        let allowed = "capability, network, file, mount, umount, pivot_root, signal, ptrace, unix,";
        fs::write(&file, format!("profile {name} {flags} {{ {allowed} {rule} }}\n")).unwrap();
        run(Command::new("apparmor_parser").args(["--replace", "--skip-cache"]).arg(&file)).ok();
        Profile { file, name }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = Command::new("apparmor_parser").arg("--remove").arg(&self.file).status();
    }
}

#[test]
fn a_profile_of_apparmors_holds_for_what_the_broker_does() {
    requires!(root, program "busybox", program "runc", program "apparmor_parser",
        file "/sys/kernel/security/apparmor/profiles");
    let place = Place::new("nested", &[]);
    let calls = ["mknod", "mknodat", "mount", "pivot_root", "umount2"];
    let script = "cat /proc/self/attr/current; mount -t tmpfs -o size=100g tmpfs /tmp 2>/dev/null && \
                  df -k /tmp | tail -n1 | awk '{ print $2 }' || echo refused";
    let said = |profile: Option<&Profile>| {
        let bundle = place.bundle("labelled", &calls, script, |spec| {
            with_capabilities(spec, &["CAP_SYS_ADMIN"]);
            if let Some(profile) = profile {
                spec["process"]["apparmorProfile"] = json!(profile.name);
            }
        });
        [Runtime::Zviz, Runtime::Runc].map(|runtime| place.run(runtime, &bundle).ok())
    };
    assert_eq!(said(None), ["unconfined\n524288"; 2], "the control");
    let denies = Profile::load(&place.path(""), "deny mount,");
    let label = format!("{} (enforce)\n", denies.name);
    assert_eq!(said(Some(&denies)), [format!("{label}refused"), format!("{label}refused")]);
    drop(denies);
    let allows = Profile::load(&place.path(""), "deny /etc/shadow r,");
    assert_eq!(said(Some(&allows)), [format!("{label}524288"), format!("{label}524288")], "a profile that allows it");
}
