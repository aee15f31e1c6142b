use super::*;
use crate::profile::built_in;
use std::os::unix::fs::PermissionsExt;

fn rules(text: &str) -> Rules {
    Rules::read(&Text { file: "config.yaml".into(), text: text.into() }).unwrap()
}

fn profile(rules: &Rules, annotations: &[(&str, &str)]) -> Result<Profile, String> {
    let given = annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect();
    rules.profile(&given, None).map_err(|problems| problems.to_string())
}

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let text = format!("annotations: {{folder: {}}}\n", folder.path().display());
    (folder, text)
}

#[test]
fn without_annotations_and_policy_the_spec_is_the_policy() {
    assert_eq!(profile(&Rules::default(), &[]), Ok(Profile::none()));
    assert_eq!(profile(&rules("version: 1\n"), &[]), Ok(Profile::none()));
    assert_eq!(profile(&Rules::default(), &[("profile", "default")]), Ok(built_in::default()));
    assert!(
        profile(&Rules::default(), &[("profile", "nobody")]).unwrap_err().contains("there is no profile \"nobody\"")
    );
}

#[test]
fn the_host_says_which_profiles_may_be_named() {
    let listed = rules("annotations: {profiles: [default]}\n");
    assert_eq!(profile(&listed, &[("profile", "default")]), Ok(built_in::default()));
    assert!(
        profile(&listed, &[("profile", "virtualised")]).unwrap_err().contains("lets annotations name default, not")
    );
    let chosen = rules("default_profile: virtualised\n");
    assert_eq!(profile(&chosen, &[]).unwrap().name, "virtualised");
    let said = profile(&chosen, &[("profile", "default")]).unwrap_err();
    assert!(said.contains("the host has chosen virtualised"), "{said}");
    let both = rules("default_profile: virtualised\nannotations: {profiles: [default]}\n");
    assert_eq!(profile(&both, &[("profile", "default")]).unwrap().name, "default");
    assert!(profile(&listed, &[("network-policy", "virtualised")]).unwrap_err().contains("network-policy"));
}

#[test]
fn limits_become_lower_and_never_higher() {
    let (_folder, text) =
        folder(&[("timed", "resources: {wall_time: 10s}\nsyscalls: {broker: [sysinfo]}\nbroker: {timeout_ms: 500}\n")]);
    let rules = rules(&(text + "broker: {max_inflight: 7, timeout_ms: 400}\n"));
    let of = |list: &[(&str, &str)]| profile(&rules, &[&[("profile", "timed")], list].concat()).unwrap();
    assert_eq!(of(&[]).limits.wall_time, Some(10_000));
    assert_eq!(of(&[("timeout", "2s")]).limits.wall_time, Some(2_000));
    assert_eq!(of(&[("timeout", "2h")]).limits.wall_time, Some(10_000));
    assert_eq!(of(&[]).broker.pace.deadline_ms, 400);
    assert_eq!(of(&[("broker-timeout", "50")]).broker.pace.deadline_ms, 50);
    assert_eq!(of(&[("broker-timeout", "5000")]).broker.pace.deadline_ms, 400);
    assert_eq!(of(&[]).broker.pace.burst, 7);
    assert_eq!(profile(&rules, &[("timeout", "2s")]).unwrap().limits.wall_time, Some(2_000));
    // What is missing, and what to do about it, in words of who wrote the annotation.
    let without = profile(&rules, &[("broker-timeout", "5")]).unwrap_err();
    let why = "annotations[zviz.io/broker-timeout]: is about calls that a broker answers, and no profile is laid over this \
               container: name one in zviz.io/profile that sends calls to a broker, such as nested or any with syscalls.broker or \
               filesystem.patterns, or leave this annotation out";
    assert_eq!(without, why);
    let with = profile(&rules, &[("profile", "default"), ("broker-timeout", "5")]).unwrap_err();
    assert!(with.contains("and the profile default has none: name one in zviz.io/profile"), "{with}");
}

#[test]
fn what_is_optional_is_required_in_strict_mode() {
    let text = "requirements: {cgroup: optional, network_policy: optional}\nresources: {pids_max: 9}\nnetwork: {ports: {allow_bind: [80]}}\n";
    let (_folder, policy) = folder(&[("lax", text)]);
    let rules = rules(&policy);
    let lax = profile(&rules, &[("profile", "lax")]).unwrap();
    assert!(lax.limits.optional && lax.requirements.ports_optional && !lax.requirements.landlock);
    let strict = profile(&rules, &[("profile", "lax"), ("strict-mode", "true")]).unwrap();
    assert!(!strict.limits.optional && !strict.requirements.ports_optional && strict.requirements.landlock);
    assert!(profile(&rules, &[("strict-mode", "true")]).unwrap().seccomp);
    assert_eq!(profile(&rules, &[("strict-mode", "false")]), Ok(Profile::none()));
}

#[test]
fn networks_are_within_both() {
    let (_folder, policy) = folder(&[
        ("wide", "network: {mode: host, allow_cidrs: [10.0.0.0/8]}\n"),
        ("narrow", "name: narrow\nnetwork: {allow_cidrs: [10.1.0.0/16]}\nfilesystem: {hidden: [/etc]}\n"),
    ]);
    let rules = rules(&policy);
    let text = |list: &[(&str, &str)]| serde_json::to_string(&profile(&rules, list).unwrap().broker.sockets).unwrap();
    let both = text(&[("profile", "wide"), ("network-policy", "narrow")]);
    assert!(both.contains("10.1.0.0/16") && !both.contains("10.0.0.0/8"), "{both}");
    let alone = profile(&rules, &[("network-policy", "narrow")]).unwrap();
    assert!(alone.seccomp && alone.files == Default::default() && alone.capabilities == u64::MAX, "{alone:?}");
    assert!(text(&[("network-policy", "narrow")]).contains("10.1.0.0/16"));
    for list in [&[("network-policy", "none")][..], &[("profile", "wide"), ("network-policy", "none")]] {
        assert_eq!(profile(&rules, list).unwrap().network, Some(crate::profile::Network::None));
    }
}

#[test]
fn packets_get_through_a_profile_and_a_network_policy() {
    let (_folder, policy) = folder(&[
        ("wide", "network: {allow_domains: [\"*.example.org\", crates.io]}\n"),
        ("narrow", "network: {mode: private, allow_domains: [a.example.org], connections_max: 7}\n"),
        ("mute", "network: {allow_cidrs: [192.0.2.0/24]}\n"),
        ("none", "network: {mode: none}\n"),
    ]);
    let rules = rules(&policy);
    let of = |names: [&str; 2]| profile(&rules, &[("profile", names[0]), ("network-policy", names[1])]).unwrap();
    let both = of(["wide", "narrow"]);
    let packets = both.packets.unwrap();
    assert_eq!(packets.policies.len(), 2);
    let asked = zviz_network::names::zones(&packets.policies).unwrap();
    assert!(asked.iter().all(|zone| zone.name == "a.example.org" && !zone.below) && asked.len() == 2, "{asked:?}");
    assert!(packets.only.contains(&"network.connections_max".to_owned()));
    assert_eq!((both.network, both.broker.sockets), (Some(crate::profile::Network::Private), None));
    assert!(!of(["wide", "mute"]).packets.unwrap().names, "one of them lets nobody be asked");
    assert_eq!(of(["wide", "none"]).packets, None);
    assert_eq!(of(["none", "wide"]).packets, None);
}

#[test]
fn decisions_are_recorded_where_the_host_says() {
    let annotations = [("profile", "virtualised"), ("audit", "true")];
    assert!(profile(&Rules::default(), &annotations).unwrap_err().contains("the host does not say where"));
    let here = rules("audit: {file: /var/log/a}\n");
    assert!(
        matches!(profile(&here, &annotations).unwrap().broker.audit, Some(Trail::File { path, .. }) if path == Path::new("/var/log/a"))
    );
    assert_eq!(profile(&here, &annotations[..1]).unwrap().broker.audit, None);
    assert!(
        profile(&here, &[("audit", "true")])
            .unwrap_err()
            .contains("is about what a broker decides, or network.log records")
    );
    let always = rules("audit: {file: /var/log/a, always: true}\n");
    assert!(profile(&always, &annotations[..1]).unwrap().broker.audit.is_some());
}

#[test]
fn an_annotation_gives_no_programs_about_devices() {
    let (_folder, policy) = folder(&[("loads", "syscalls: {broker: [bpf]}\n")]);
    let by_annotation = profile(&rules(&policy), &[("profile", "loads")]);
    assert!(by_annotation.unwrap_err().contains("gives bpf(2), which an annotation cannot"));
    assert!(profile(&rules(&(policy + "default_profile: loads\n")), &[]).unwrap().broker.bpf_devices);
}

#[test]
fn the_policy_is_not_written_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    assert!(Rules::load(Some(&path)).unwrap_err().contains("there is no such file"));
    std::fs::write(&path, "default_profile: default\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Rules::load(Some(&path)).is_ok());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
    assert!(Rules::load(Some(&path)).unwrap_err().contains("can be written by others"));
}
