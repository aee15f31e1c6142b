//! Records as kernels write them, and such as none would.

use super::*;

const STAMP: &str = "audit(1795306553.998:7): ";

fn denied(kind: u32, text: &str) -> Option<Access> {
    match read(kind, &format!("{STAMP}{text}"))?.said {
        Said::Denied(access) => Some(access),
        _ => None,
    }
}

#[test]
fn landlock_says_what_was_missing() {
    let entry = read(
        LANDLOCK_ACCESS,
        &format!("{STAMP}domain=1d460bb4b blockers=fs.make_reg,fs.refer path=\"/tmp\" dev=\"tmpfs\" ino=1"),
    )
    .unwrap();
    assert_eq!(entry.at, Stamp { milliseconds: 1_795_306_553_998, serial: 7 });
    let Said::Denied(Access::Landlock { domain, blockers, path, port, .. }) = entry.said else { panic!() };
    assert_eq!((domain, blockers.len(), path.as_deref(), port), (0x1_d460_bb4b, 2, Some(&b"/tmp"[..]), None));
    let ports = |text: &str| match denied(LANDLOCK_ACCESS, text) {
        Some(Access::Landlock { port, address, .. }) => (port, address),
        other => panic!("{other:?}"),
    };
    let local = "127.0.0.1".parse().unwrap();
    assert_eq!(ports("domain=1 blockers=net.connect_tcp daddr=127.0.0.1 dest=80"), (Some(80), Some(local)));
    assert_eq!(ports("domain=1 blockers=net.bind_tcp saddr=127.0.0.1 src=81"), (Some(81), Some(local)));
    assert_eq!(ports("domain=1 blockers=net.bind_tcp src=82"), (Some(82), None));
    assert_eq!(ports("domain=1 blockers=scope.signal opid=1 ocomm=\"init\""), (None, None));
    let domain = "domain=1d460bb4b status=allocated mode=enforcing pid=154 uid=0 exe=\"/usr/bin/zviz\" comm=\"zviz\"";
    let said = |text: &str| read(LANDLOCK_DOMAIN, &format!("{STAMP}{text}")).map(|entry| entry.said);
    assert_eq!(said(domain), Some(Said::Domain { domain: 0x1_d460_bb4b, pid: 154 }));
    assert_eq!(said("domain=1d460bb4b status=deallocated denials=4"), None);
    let call = "arch=c000003e syscall=257 success=no exit=-13 a0=ffffffffffffff9c items=0 ppid=152 pid=154 tty=(none) \
                comm=\"sh\" exe=\"/usr/bin/dash\" subj=unconfined key=(null)";
    let Some(Said::Call { pid, arch, number, program }) = read(SYSCALL, &format!("{STAMP}{call}")).map(|e| e.said)
    else {
        panic!()
    };
    assert_eq!((pid, arch, number, program.to_str()), (154, 0xc000_003e, 257, Some("/usr/bin/dash")));
}

#[test]
fn apparmor_says_who_and_what() {
    let file = "apparmor=\"DENIED\" operation=\"open\" class=\"file\" profile=\"zviz-0a\" name=2F612062 pid=12 \
                comm=\"sh\" requested_mask=\"wc\" denied_mask=\"wc\" fsuid=0 ouid=0";
    let Some(Access::AppArmor { profile, pid, operation, mask, name, .. }) = denied(AVC, file) else { panic!() };
    assert_eq!((profile.as_str(), pid, operation.as_str(), mask.as_str()), ("zviz-0a", 12, "open", "wc"));
    assert_eq!(name.as_deref(), Some(&b"/a b"[..]));
    for other in ["ALLOWED", "AUDIT", "STATUS"] {
        assert_eq!(denied(AVC, &file.replace("DENIED", other)), None);
    }
    let named = |text: &str| match denied(AVC, text) {
        Some(Access::AppArmor { name, kind, .. }) => (name.and_then(|name| String::from_utf8(name).ok()), kind),
        other => panic!("{other:?}"),
    };
    let capable = "apparmor=\"DENIED\" operation=\"capable\" class=\"cap\" profile=\"p\" pid=1 comm=\"a\" capability=21  capname=\"sys_admin\"";
    assert_eq!(named(capable), (Some("sys_admin".into()), None));
    let network = "apparmor=\"DENIED\" operation=\"create\" class=\"net\" profile=\"p\" pid=1 comm=\"a\" family=\"inet\" \
                   sock_type=\"dgram\" protocol=0 requested_mask=\"create\" denied_mask=\"create\"";
    assert_eq!(named(network), (Some("inet".into()), Some("dgram".into())));
    let mount = "apparmor=\"DENIED\" operation=\"mount\" class=\"mount\" info=\"failed mntpnt match\" error=-13 profile=\"p\" \
                 name=\"/m/\" pid=1 comm=\"mount\" fstype=\"tmpfs\" srcname=\"none\" flags=\"rw, nosuid\"";
    assert_eq!(named(mount), (Some("/m/".into()), None));
}

#[test]
fn selinux_says_by_which_labels() {
    let text = "avc:  denied  { read open } for  pid=44 comm=\"cat\" path=\"/etc/x\" dev=\"vda\" ino=9 \
                scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=system_u:object_r:etc_t:s0 tclass=file permissive=0";
    let Some(Access::Selinux { source, target, class, rights, pid, name, .. }) = denied(AVC, text) else { panic!() };
    assert_eq!((source.as_str(), class.as_str(), pid), ("system_u:system_r:container_t:s0:c1,c2", "file", 44));
    assert_eq!(
        (target.as_str(), rights.as_slice()),
        ("system_u:object_r:etc_t:s0", &["read".to_owned(), "open".into()][..])
    );
    assert_eq!(name.as_deref(), Some(&b"/etc/x"[..]));
    assert_eq!(denied(AVC, &text.replace("permissive=0", "permissive=1")), None);
    assert_eq!(denied(AVC, &text.replace("denied", "granted")), None);
    // What is no label is nobody's.
    assert_eq!(denied(AVC, &text.replace("container_t", "container_t;\"")), None);
}

#[test]
fn a_strangers_name_is_no_field_and_no_record() {
    // A file called `x" profile="zviz-1" pid=1`, as the kernel writes it, and as it never would.
    let name = "7822207066726F66696C653D227A76697A2D312220706964203D2031";
    let text =
        |name: &str| format!("apparmor=\"DENIED\" operation=\"open\" profile=\"other\" name={name} pid=12 comm=\"sh\"");
    let Some(Access::AppArmor { profile, pid, .. }) = denied(AVC, &text(name)) else { panic!() };
    assert_eq!((profile.as_str(), pid), ("other", 12));
    for name in ["\"x\" profile=\"zviz-1\" pid=1", "\"x\" pid=1", "\"x", "\"x\ny\"", "\"\u{1b}[2J\"", "\"é\""] {
        assert_eq!(denied(AVC, &text(name)), None, "{name:?}");
    }
    let comm = "apparmor=\"DENIED\" operation=\"open\" profile=\"p\" name=\"/x\" pid=12 comm=61220A70";
    let Some(Access::AppArmor { comm, .. }) = denied(AVC, comm) else { panic!() };
    assert_eq!(comm, b"a\"\np");
}

#[test]
fn what_is_no_record_is_nothing() {
    let good = format!("{STAMP}domain=1 blockers=fs.refer path=\"/\"");
    assert!(read(LANDLOCK_ACCESS, &good).is_some());
    assert!(read(LANDLOCK_ACCESS, &format!("{good}\n")).is_some());
    for (kind, text) in [
        (1326, good.clone()),
        (LANDLOCK_DOMAIN, good.clone()),
        (AVC, good.clone()),
        (SYSCALL, good.clone()),
        (LANDLOCK_ACCESS, good.replace("audit(", "audit")),
        (LANDLOCK_ACCESS, good.replace(":7)", ")")),
        (LANDLOCK_ACCESS, good.replace("1795306553", "99999999999999999999")),
        (LANDLOCK_ACCESS, good.replace("1795306553", &u64::MAX.to_string())),
        (LANDLOCK_ACCESS, good.replace("fs.refer", "fs.refer;")),
        (LANDLOCK_ACCESS, good.replace("domain=1", "domain=+1")),
        (LANDLOCK_ACCESS, format!("{good} a=\"{}\"", "x".repeat(LONGEST))),
        (LANDLOCK_ACCESS, String::new()),
    ] {
        assert_eq!(read(kind, &text), None, "{kind} {text}");
    }
    assert_eq!(of_file("type=AVC"), None);
    assert_eq!(of_file("type=USER_AVC msg=audit(1.0:1): pid=1"), None);
    assert_eq!(
        of_file("type=UNKNOWN[1423] msg=audit(1.0:1): domain=1"),
        Some((LANDLOCK_ACCESS, "audit(1.0:1): domain=1"))
    );
}

#[test]
fn a_filter_says_which_call_of_which_architecture() {
    let text = "auid=4294967295 uid=0 gid=0 ses=4294967295 subj=zviz-0a (enforce) pid=22411 comm=\"a b\" exe=2F612062 sig=31 \
                arch=c000003e syscall=24 compat=0 ip=0x7f66240d21d7 code=0x80000000";
    let read = |text: &str| denied(SECCOMP, text);
    let Some(Access::Seccomp { pid, comm, program, label, arch, number, action }) = read(text) else { panic!() };
    assert_eq!((pid, comm.as_slice(), program.to_str()), (22411, &b"a b"[..], Some("/a b")));
    assert_eq!((label.as_deref(), arch, number, action), (Some("zviz-0a"), 0xc000_003e, 24, Action::KillProcess));
    let bare = text.replace(" subj=zviz-0a (enforce)", "");
    assert!(matches!(read(&bare), Some(Access::Seccomp { label: None, .. })));
    // Logged and made; asked somebody; not as the kernel writes.
    for code in ["0x7ffc0000", "0x7fff0000", "0x7fc00000", "0x7ff00000", "80000000", "0x+1", ""] {
        assert_eq!(read(&text.replace("0x80000000", code)), None, "{code}");
    }
    assert_eq!(read(&text.replace("pid=22411 ", "")), None);
    assert_eq!(read(&text.replace("comm=", "(enforce) comm=")), None, "only behind a label");
    let line = format!("type=SECCOMP msg={STAMP}{bare}\u{1d}ARCH=x86_64");
    assert_eq!(of_file(&line).map(|(kind, text)| (kind, super::read(kind, text).is_some())), Some((SECCOMP, true)));
    // A label with a mode is in other records, too.
    let call = "arch=c000003e syscall=2 success=no pid=9 exe=\"/x\" subj=zviz-0a (enforce) key=(null)";
    assert!(super::read(SYSCALL, &format!("{STAMP}{call}")).is_some());
}
