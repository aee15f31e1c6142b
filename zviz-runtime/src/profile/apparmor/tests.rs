use super::*;
use crate::profile::{FileRules, built_in};
use std::io::Write;
use std::process::{Command, Stdio};

fn list(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn of(files: FileRules) -> Policy {
    generate(&Profile { files, ..Profile::default() })
}

#[test]
fn the_name_is_of_the_text() {
    let (one, other) = (of(FileRules::default()), of(FileRules { readonly: list(&["/a"]), ..FileRules::default() }));
    assert_eq!(one, of(FileRules::default()));
    assert_ne!(one.name, other.name);
    assert_eq!(one.name.len(), PREFIX.len() + DIGITS);
    assert!(one.text.contains(&format!("profile {} ", one.name)) && !one.text.contains('\0'));
    assert!(one.text.contains(&format!("signal (send) peer=\"{}//&*\",", one.name)), "{}", one.text);
}

#[test]
fn lists_are_what_is_allowed() {
    let files = FileRules {
        listed_only: true,
        readonly: list(&["/usr", "/work/.git", "/bin"]),
        writable: Some(list(&["/work/", "/usr/local"])),
        tmpfs: list(&["/tmp"]),
        hidden: list(&["/work/.env"]),
        executable: Some(list(&["/usr", "/bin"])),
        ..FileRules::default()
    };
    let Policy { text, left, .. } = of(files);
    for rule in [
        "\"/usr{,/,/**}\" rmix,",
        "\"/usr/local{,/,/**}\" wkl,",
        "\"/work{,/,/**}\" rwkl,",
        "\"/tmp{,/,/**}\" rwkl,",
        "\"/dev{,/,/**}\" rwkl,",
        "\"/bin{,/,/**}\" rmix,",
        "audit deny \"/work/.git{,/,/**}\" wkl,",
        "audit deny \"/work/.env\" wklmx,",
        "audit deny \"/work/.env/**\" rwklmx,",
    ] {
        assert!(text.contains(&format!("  {rule}\n")), "{rule}: {text}");
    }
    assert!(!text.contains("\"/{,**}\"") && !text.contains("deny \"/usr{"), "{text}");
    assert!(left.is_empty(), "{left:?}");
    let inside = FileRules {
        readonly: list(&["/work/a"]),
        writable: Some(list(&["/work", "/work/a/b"])),
        ..FileRules::default()
    };
    assert_eq!(of(inside).left, ["/work/a is kept by mounts alone: something in it is written"]);
}

#[test]
fn without_lists_files_are_as_they_are() {
    let text = of(FileRules::default()).text;
    assert!(text.contains("  \"/{,**}\" rwklmix,\n"), "{text}");
    let text = of(FileRules { readonly: list(&["/etc", "/bin"]), ..FileRules::default() }).text;
    for path in ["/etc", "/bin", "/usr/bin"] {
        assert!(text.contains(&format!("  audit deny \"{path}{{,/,/**}}\" wkl,\n")), "{text}");
    }
    let text = of(FileRules { writable: Some(Vec::new()), ..FileRules::default() }).text;
    assert!(text.contains("  \"/{,**}\" rmix,\n") && text.contains("  \"/dev{,/,/**}\" wkl,\n"), "{text}");
}

#[test]
fn no_path_means_more_than_itself() {
    let path = "/a b*?[c]{d,e}^@{HOME}\"\\#x\n\u{e4},";
    let text = of(FileRules { writable: Some(list(&[path])), ..FileRules::default() }).text;
    let escaped =
        "/a\\040b\\052\\077\\133c\\135\\173d\\054e\\175\\136\\100\\173HOME\\175\\042\\134\\043x\\012\\303\\244\\054";
    assert!(text.contains(&format!("  \"{escaped}{{,/,/**}}\" wkl,\n")), "{text}");
}

#[test]
fn rights_are_those_of_the_profile() {
    let with = |change: &dyn Fn(&mut Profile)| {
        let mut profile = Profile::default();
        change(&mut profile);
        generate(&profile).text
    };
    let plain = with(&|_| ());
    assert!(!plain.contains("capability") && !plain.contains("mount,"), "{plain}");
    assert!(plain.contains("network inet stream,") && plain.contains("network netlink raw,"), "{plain}");
    assert!(with(&|profile| profile.capabilities = 1 << 10).contains("  capability net_bind_service,\n"));
    assert!(with(&|profile| profile.capabilities = u64::MAX).contains("  capability,\n"));
    let nested = with(&|profile| profile.nested = true);
    assert!(["capability,", "mount,", "pivot_root,"].iter().all(|rule| nested.contains(rule)), "{nested}");
    assert!(with(&|profile| profile.calls.allow = list(&["mount"])).contains("  mount,\n"));
    let alone = with(&|profile| profile.calls.sockets = Some(Vec::new()));
    assert!(!alone.contains("inet") && alone.contains("  network unix,\n"), "{alone}");
    assert!(plain.contains("ptrace (read, trace) peer="));
    assert!(with(&|profile| profile.calls.deny = list(&["ptrace"])).contains("ptrace (read) peer="));
}

#[test]
fn every_policy_is_read_by_apparmors_own_parser() {
    if !std::path::Path::new("/usr/sbin/apparmor_parser").exists() {
        println!("SKIP every_policy_is_read_by_apparmors_own_parser: apparmor_parser is not installed");
        return;
    }
    let odd = FileRules {
        listed_only: true,
        readonly: list(&["/a b*?[c]{d,e}^@{HOME}\"\\#x\n\u{e4},", "/b\\"]),
        writable: Some(list(&["/c\""])),
        hidden: list(&["/c\"/,"]),
        ..FileRules::default()
    };
    let mut policies = vec![("odd", of(odd)), ("none", generate(&Profile::none()))];
    policies.extend(built_in::BUILT_IN.iter().map(|(name, _)| (*name, generate(&lowered(name)))));
    for (name, policy) in policies {
        let mut parser = Command::new("/usr/sbin/apparmor_parser")
            .args(["--config-file=/dev/null", "-Q", "-K", "-S"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        parser.stdin.take().unwrap().write_all(policy.text.as_bytes()).unwrap();
        let read = parser.wait_with_output().unwrap();
        assert!(read.status.success(), "{name}: {}\n{}", String::from_utf8_lossy(&read.stderr), policy.text);
        let named = read.stdout.windows(policy.name.len()).any(|bytes| bytes == policy.name.as_bytes());
        assert!(named, "{name}: the binary names another profile");
    }
}

fn lowered(name: &str) -> Profile {
    let search = crate::profile::find::Search::of_host();
    search.profile(name, &crate::profile::lower::Context { home: Some("/root".into()) }).unwrap()
}
