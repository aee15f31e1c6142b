//! What may be said of records of denials, whatever they are. Also a part of `cargo test` (zviz-runtime/tests/records_smoke.rs).

use zviz_runtime::records::{Access, Entry, MOST, Said, Sieve, Whose, line};

/// Checks a text of many lines, as the kernel's log, as auditd's file, and as the kernel's message of each type; and tells how
/// many records were found.
pub fn check(data: &[u8]) -> usize {
    let text = String::from_utf8_lossy(data);
    let whose = Whose { init: 7, apparmor: Some("zviz-1".into()), selinux: Some("u:r:t:s0".into()), since: 1 };
    let mut sieve = Sieve::new(whose);
    let mut found = 0;
    for line in text.lines() {
        let named = [line::of_kernel_log(line), line::of_file(line)].into_iter().flatten();
        let typed = [1300, 1326, 1400, 1423, 1424].map(|kind| (kind, line));
        for entry in named.chain(typed).filter_map(|(kind, text)| line::read(kind, text)) {
            bounded(&entry, line);
            sieve.take(entry);
            found += 1;
        }
    }
    let kept = sieve.end();
    assert!(kept.denials.len() <= MOST && kept.denials.len() <= found);
    for recorded in &kept.denials {
        assert!(recorded.at.milliseconds >= 1);
        match &recorded.access {
            Access::AppArmor { profile, .. } => assert!(profile == "zviz-1" || profile.starts_with("zviz-1//")),
            Access::Selinux { source, .. } => assert_eq!(source, "u:r:t:s0"),
            Access::Seccomp { pid, label, .. } => {
                let label = label.as_deref().unwrap_or_default();
                assert!(*pid == 7 || label == "u:r:t:s0" || label == "zviz-1" || label.starts_with("zviz-1//"));
            }
            // Of a domain of which somebody has told whose it is.
            Access::Landlock { .. } => assert!(text.contains("status=allocated")),
        }
    }
    found
}

fn bounded(entry: &Entry, line: &str) {
    let Said::Denied(access) = &entry.said else { return };
    let words = |word: &str| word.bytes().all(|byte| byte.is_ascii_graphic());
    match access {
        Access::Landlock { blockers, path, .. } => {
            assert!(blockers.iter().all(|blocker| words(blocker)));
            assert!(path.as_ref().is_none_or(|path| path.len() <= line.len()));
        }
        Access::AppArmor { operation, mask, comm, .. } => {
            assert!(words(operation) && words(mask) && comm.len() <= line.len());
        }
        Access::Seccomp { label, comm, program, .. } => {
            assert!(label.as_ref().is_none_or(|label| words(label)) && comm.len() <= line.len());
            assert!(program.as_os_str().len() <= line.len());
        }
        Access::Selinux { target, class, rights, .. } => {
            assert!(words(target) && words(class) && rights.iter().all(|right| words(right)));
        }
    }
}
