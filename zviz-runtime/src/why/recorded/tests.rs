//! Records of denials, told with their line and with what would allow them.

use super::*;
use crate::plan::Plan;
use crate::records::{Stamp, line};
use crate::sandbox::Flags;
use crate::why::tests::world::{self, WORLD};
use crate::why::{Filter, Rules};

fn denied(kind: u32, text: &str) -> Recorded {
    let line::Said::Denied(access) = line::read(kind, &format!("audit(1.0:1): {text}")).unwrap().said else { panic!() };
    let at = Stamp { milliseconds: 1000, serial: 1 };
    Recorded { at, access, pid: None, call: None, program: PathBuf::new() }
}

fn told(plan: &Plan, rules: &Rules, record: &Recorded) -> Option<Denial> {
    recorded(&Scene { plan, filter: &Filter::default(), rules, outside: &WORLD }, record)
}

/// Layer, cause, place and key, and the first change.
fn words(yaml: &str, kind: u32, text: &str) -> Option<(String, String)> {
    let (plan, rules) = world::layered(yaml, &Flags::default(), 1000);
    let denial = told(&plan, &rules, &denied(kind, text))?;
    let rule = denial.rule.map_or(String::new(), |rule| format!(" {}: {}", rule.place, rule.key));
    let change = denial.changes.first().map_or(String::new(), |change| match &change.how {
        How::Yaml(text) => text.clone(),
        How::Policy { of, rule } => format!("{of}: {rule}"),
        other => format!("{other:?}"),
    });
    Some((format!("{} {}{rule}", denial.layer, denial.cause), change))
}

#[test]
fn landlock_is_asked_again_with_what_was_recorded() {
    let lists = "filesystem: {writable: [/tmp], executable: [/usr/bin]}";
    let landlock = |yaml: &str, text: &str| words(yaml, 1423, &format!("domain=1 {text}"));
    let write =
        ("landlock write own.yaml:2: filesystem.writable".to_owned(), "filesystem: {writable: [/var/tmp]}".to_owned());
    for blocker in ["fs.make_reg", "fs.write_file,fs.truncate", "fs.remove_dir", "fs.refer,fs.make_dir"] {
        assert_eq!(landlock(lists, &format!("blockers={blocker} path=\"/var/tmp\"")), Some(write.clone()), "{blocker}");
    }
    let execute = landlock(lists, "blockers=fs.execute path=\"/usr/lib/x\"").unwrap();
    assert_eq!(execute.0, "landlock execute own.yaml:2: filesystem.executable");
    assert_eq!(execute.1, "filesystem: {executable: [/usr]}");
    // With the change there is no denial, and neither is there of what is allowed.
    assert_eq!(landlock("filesystem: {writable: [/var/tmp]}", "blockers=fs.make_reg path=\"/var/tmp\""), None);
    assert_eq!(landlock(lists, "blockers=fs.make_reg path=\"/tmp\""), None);
    let port =
        landlock("network: {ports: {allow_connect: [8001]}}", "blockers=net.connect_tcp daddr=127.0.0.1 dest=80");
    assert_eq!(port.unwrap().1, "network: {ports: {allow_connect: [80]}}");
    let scope = |text: &str| landlock("", text).map(|(head, _)| head);
    assert_eq!(scope("blockers=scope.abstract_unix_socket path=00782079").as_deref(), Some("landlock scope"));
    assert_eq!(scope("blockers=scope.signal opid=1 ocomm=\"init\"").as_deref(), Some("landlock scope"));
    for nothing in ["blockers=fs.what path=\"/\"", "blockers=net.connect_tcp", "blockers=fs.make_reg"] {
        assert_eq!(scope(nothing), None, "{nothing}");
    }
}

fn apparmor(text: &str) -> String {
    format!("apparmor=\"DENIED\" profile=\"zviz-1\" pid=1 comm=\"sh\" {text}")
}

#[test]
fn an_apparmor_profile_of_ours_is_the_profiles_own() {
    let generated = |text: &str| {
        let yaml = "filesystem:\n  writable: [/tmp]\n  hidden:\n  - /home/u/project/s\n";
        let (mut plan, rules) = world::layered(yaml, &Flags::default(), 1000);
        plan.apparmor = Some(crate::profile::apparmor::generate(&plan.profile));
        let denial = told(&plan, &rules, &denied(1400, &apparmor(text))).unwrap();
        let rule = denial.rule.map_or(String::new(), |rule| rule.key);
        (denial.cause, rule, denial.changes.first().map(|change| change.how.clone()))
    };
    let (cause, rule, change) = generated("operation=\"mknod\" name=\"/var/tmp/x\" denied_mask=\"c\"");
    assert_eq!((cause.as_str(), rule.as_str()), ("write", "filesystem.writable"));
    assert_eq!(change, Some(How::Yaml("filesystem: {writable: [/var/tmp]}".into())));
    let (cause, rule, change) = generated("operation=\"open\" name=\"/home/u/project/s/k\" denied_mask=\"r\"");
    assert_eq!((cause.as_str(), rule.as_str()), ("hidden", "filesystem.hidden[0]"));
    assert!(matches!(change, Some(How::Instead { .. })));
    let (cause, _, change) = generated("operation=\"open\" name=\"/proc/sysrq-trigger\" denied_mask=\"w\"");
    assert_eq!((cause.as_str(), change), ("never", None));
    let (cause, _, change) = generated("operation=\"capable\" capability=21  capname=\"sys_admin\"");
    assert_eq!((cause.as_str(), change), ("capability", Some(How::Yaml("capabilities: {keep: [SYS_ADMIN]}".into()))));
}

#[test]
fn a_policy_of_others_has_rules_of_its_own() {
    let named = |text: &str| words("", 1400, &apparmor(text)).unwrap();
    let of = "AppArmor profile zviz-1: ";
    for (text, rule) in [
        ("operation=\"open\" name=\"/etc/x\" denied_mask=\"wc\"", "\"/etc/x\" w,"),
        ("operation=\"exec\" name=\"/bin/x\" denied_mask=\"x\"", "\"/bin/x\" mix,"),
        ("operation=\"file_lock\" name=\"/x\" denied_mask=\"k\"", "\"/x\" wk,"),
        ("operation=\"capable\" capability=12  capname=\"net_admin\"", "capability net_admin,"),
        ("operation=\"create\" family=\"inet\" sock_type=\"raw\" denied_mask=\"create\"", "network inet raw,"),
        ("operation=\"pivotroot\" name=\"/\"", "pivot_root,"),
        ("operation=\"signal\" denied_mask=\"send\" signal=term peer=\"unconfined\"", "signal,"),
    ] {
        assert_eq!(named(text).1, format!("{of}{rule}"), "{text}");
    }
    // Nothing that a pattern or a comment could be made of.
    for name in ["/a*", "/a{b", "/a#b", "/a,b", "/@{b"] {
        assert_eq!(named(&format!("operation=\"open\" name=\"{name}\" denied_mask=\"w\"")).1, "", "{name}");
    }
    let selinux = "avc:  denied  { execute } for  pid=9 comm=\"sh\" path=\"/bin/x\" scontext=system_u:system_r:container_t:s0 \
                   tcontext=system_u:object_r:bin_t:s0 tclass=file permissive=0";
    let (head, change) = words("", 1400, selinux).unwrap();
    assert_eq!(
        (head.as_str(), change.as_str()),
        ("selinux file", "SELinux: allow container_t bin_t:file { execute };")
    );
}

#[test]
fn a_strangers_words_are_escaped() {
    let (plan, rules) = world::layered("", &Flags::default(), 1000);
    // `/` ESC `[2J`, a newline.
    let record = denied(1400, &apparmor("operation=\"open\" name=2F1B5B324A0A denied_mask=\"w\""));
    let denial = told(&plan, &rules, &record).unwrap();
    let text = serde_json::to_string(&denial).unwrap();
    assert!(!text.chars().any(char::is_control) && denial.changes.is_empty(), "{text}");
}

/// As this machine's kernel writes it, with another call, architecture and answer.
fn killed(arch: u32, call: u64, code: &str) -> String {
    format!(
        "auid=4294967295 uid=0 gid=0 ses=4294967295 subj=zviz-1 (enforce) pid=7 comm=\"sync\" exe=\"/bin/busybox\" sig=31 \
         arch={arch:x} syscall={call} compat=0 ip=0x7f code={code}"
    )
}

/// What becomes of a call, as the container's filter and the profile's have it: place and key, cause, words.
fn by_filter(text: &str, edit: impl Fn(&mut Plan)) -> Option<Denial> {
    let (mut plan, rules) = world::layered("", &Flags::default(), 1000);
    edit(&mut plan);
    told(&plan, &rules, &denied(1326, text))
}

#[test]
fn a_filter_that_killed_is_told_with_the_call_and_the_rule() {
    let native = Arch::native();
    let number = |name: &str| u64::from(number_of(name, native).unwrap());
    let spec = |plan: &mut Plan| {
        let mut policy = zviz_seccomp::Policy::new(zviz_seccomp::Action::Allow);
        policy.rules.push(zviz_seccomp::Rule::new(["getcpu"], zviz_seccomp::EPERM));
        policy.rules.push(zviz_seccomp::Rule::new(["sync", "syncfs"], zviz_seccomp::Action::KillProcess));
        let own = plan.seccomp.as_mut().unwrap();
        own.policy = std::sync::Arc::new(policy.within((*own.policy).clone()));
    };
    let denial = by_filter(&killed(native.audit(), number("sync"), "0x80000000"), spec).unwrap();
    let rule = denial.rule.as_ref().unwrap();
    assert_eq!((rule.place.as_str(), rule.key.as_str()), ("config.json", "linux.seccomp.syscalls[1]"));
    assert_eq!((denial.call.as_str(), denial.result.as_str(), denial.program.as_str()), ("sync", "SIGSYS", "sync"));
    assert!(denial.what.starts_with(&format!("sync ({native}): the container's own filter")), "{}", denial.what);
    // An answer that this filter does not give to this call is one of the workload's own.
    for (call, code) in [("sync", "0x0"), ("getcpu", "0x80000000"), ("read", "0x30000"), ("sync", "0x50000")] {
        let text = killed(native.audit(), number(call), code);
        assert_eq!(by_filter(&text, spec), None, "{call} {code}");
    }
    let refused = by_filter(&killed(native.audit(), number("getcpu"), "0x50000"), spec).unwrap();
    assert_eq!((refused.cause.as_str(), refused.result.as_str()), ("deny", "EPERM"));
    // What was only logged was made.
    assert!(line::read(1326, &format!("audit(1.0:1): {}", killed(native.audit(), 1, "0x7ffc0000"))).is_none());
    // The default filter ends who calls by another architecture's numbers.
    let foreign = by_filter(&killed(Arch::S390x.audit(), 4, "0x80000000"), |_| ()).unwrap();
    assert_eq!((foreign.cause.as_str(), foreign.call.as_str(), foreign.rule), ("foreign", "write", None));
    assert!(foreign.what.contains("of the profile default"), "{}", foreign.what);
}
