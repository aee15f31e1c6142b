use super::probe::{APPARMOR_USERNS, FILESYSTEMS, LSM, MAX_USER_NAMESPACES, SECCOMP_ACTIONS, UNPRIVILEGED_USERNS};
use super::trial::Refused;
use super::*;
use crate::host::cgroup::{CgroupHost, Mode};
use crate::host::{Host, IdRange, Kernel};
use crate::sandbox::facts::Limits;

/// An ordinary user of a machine that has everything.
fn seen() -> Seen {
    let ids = vec![IdRange { start: 100_000, count: 65_536 }];
    let host = Host {
        euid: 1000,
        egid: 1000,
        rootless: true,
        user_namespace: false,
        kernel: Kernel { major: 6, minor: 18 },
        last_capability: 40,
        capabilities: 0,
        landlock_abi: 7,
        apparmor: true,
        selinux: false,
        time_namespaces: true,
        kcore: true,
        resctrl: false,
        subuids: ids.clone(),
        subgids: ids,
        id_helpers: true,
        cgroup: CgroupHost::none(),
    };
    let settings = [
        (SECCOMP_ACTIONS, "kill_process kill_thread trap errno user_notif trace log allow"),
        (FILESYSTEMS, "nodev\ttmpfs\nnodev\toverlay"),
        (MAX_USER_NAMESPACES, "95000"),
    ];
    Seen {
        host,
        release: "6.18.0".into(),
        user: "bob".into(),
        settings: settings.into_iter().map(|(path, text)| (path, text.to_owned())).collect(),
        namespaces: Ok(()),
        id_helpers: ["newuidmap", "newgidmap"].map(|name| (name, Some(("/usr/bin".into(), true)))).into(),
        idmapped: Vec::new(),
        absent_calls: Vec::new(),
        cgroups: CgroupHost { mode: Mode::V2, systemd: true, ..CgroupHost::none() },
        limits: Limits { memory: true, swap: true, pids: true, cpu: true, ..Limits::default() },
        programs: Vec::new(),
        devices: vec!["/dev/fuse"],
        netfilter: Ok(()),
        helper: Ok(()),
        forward_drops: Vec::new(),
        run: None,
        without_namespaces: None,
        zviz: "/usr/bin/zviz".into(),
    }
}

fn faults(seen: &Seen) -> Vec<(Status, String, String)> {
    let report = examine(seen);
    let faults = report.findings.into_iter().filter(|f| matches!(f.status, Status::Lacks | Status::Fails));
    faults.map(|f| (f.status, format!("{}: {}", f.subject, f.seen), f.remedy.unwrap_or_default())).collect()
}

#[test]
fn a_machine_that_has_everything() {
    assert_eq!(faults(&seen()), []);
    assert!(examine(&seen()).works);
}

#[test]
fn every_lock_on_user_namespaces_has_its_key() {
    let refused = Err(Refused { step: "mount a tmpfs", why: "permission denied".into() });
    for (path, value, key) in [
        (MAX_USER_NAMESPACES, "0", "sysctl -w user.max_user_namespaces=15000"),
        (UNPRIVILEGED_USERNS, "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (APPARMOR_USERNS, "1", "apparmor_parser -r /etc/apparmor.d/zviz"),
        (LSM, "", "docker run --security-opt seccomp=unconfined"),
    ] {
        let mut seen = Seen { namespaces: refused.clone(), ..seen() };
        seen.settings.insert(path, value.to_owned());
        let faults = faults(&seen);
        assert_eq!(
            (faults[0].0, faults[0].1.as_str()),
            (Status::Fails, "namespaces: mount a tmpfs: permission denied")
        );
        assert!(faults[0].2.contains(key), "{path}: {}", faults[0].2);
        assert!(!examine(&seen).works);
    }
}

#[test]
fn a_try_outweighs_what_settings_say() {
    assert!(!examine(&Seen { run: Some(Err("zviz: no".into())), ..seen() }).works);
    assert!(examine(&Seen { run: Some(Ok(())), ..seen() }).works);
}

#[test]
fn landlock_by_version() {
    let mut old = seen();
    old.host.landlock_abi = 4;
    let missing: Vec<String> = faults(&old).into_iter().map(|(_, seen, remedy)| format!("{seen} ({remedy})")).collect();
    assert_eq!(
        missing,
        [
            "Landlock: ABI 5: ioctl on devices (Linux 6.10 or later)",
            "Landlock: ABI 6: abstract sockets and signals (Linux 6.12 or later)",
            "Landlock: ABI 7: logging (Linux 6.15 or later)",
        ]
    );
    old.host.landlock_abi = 0;
    old.settings.insert(LSM, "capability,yama".into());
    assert_eq!(faults(&old)[0].2, "lsm=landlock,capability,yama on the kernel's command line");
}

#[test]
fn what_a_user_without_ids_needs() {
    let mut seen = Seen { id_helpers: vec![("newuidmap", None), ("newgidmap", Some(("/x".into(), false)))], ..seen() };
    seen.host.subuids.clear();
    let remedies: Vec<String> = faults(&seen).into_iter().map(|(_, _, remedy)| remedy).collect();
    assert_eq!(
        remedies,
        [
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 bob",
            "apt install uidmap",
            "chown root /x && chmod u+s /x",
        ]
    );
    assert!(examine(&seen).works, "a sandbox needs the caller's own id only");
}

#[test]
fn limits_that_are_not_ours() {
    let limits = Limits { nproc_of_namespace: true, remedy: "delegate".into(), ..Limits::default() };
    let found = faults(&Seen { limits, ..seen() });
    assert_eq!(found.len(), 2, "pids has a stand-in");
    assert!(found.iter().all(|(status, _, remedy)| *status == Status::Lacks && remedy == "delegate"));
}

#[test]
fn old_kernels_and_absent_calls_fail() {
    let mut old = seen();
    old.host.kernel = Kernel { major: 5, minor: 10 };
    assert!(faults(&old).iter().any(|(status, ..)| *status == Status::Fails));
    let filtered = Seen { absent_calls: vec!["openat2"], ..seen() };
    assert_eq!(faults(&filtered)[0].1, "system calls: missing: openat2");
}

#[test]
fn the_report_is_json_too() {
    let json = serde_json::to_value(examine(&seen())).unwrap();
    assert_eq!(json["works"], true);
    assert_eq!(json["findings"][0]["layer"], "containment");
    assert_eq!(json["findings"][0]["status"], "ok");
}
