//! AppArmor profiles that are made of zviz's: loaded for the containers that have them, in force, shared, and unloaded.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Bundle, ZVIZ, bundle, requires, run};

const LOADED: &str = "/sys/kernel/security/apparmor/profiles";

fn is_loaded(name: &str) -> bool {
    fs::read_to_string(LOADED).unwrap().contains(&format!("{name} (enforce)\n"))
}

/// The profile that a process says it has.
fn label(said: &str) -> Option<String> {
    said.lines().find_map(|line| Some(line.strip_suffix(" (enforce)")?.to_owned()))
}

/// A bundle under profiles of a host's. Nothing of the kernel's is masked, so that AppArmor is what remains.
fn under(name: &str, profiles: &[(&str, &str)]) -> Option<Bundle> {
    let bundle = bundle(name, &["sleep", "1000"])?;
    let folder = bundle.folder("profiles");
    for (name, text) in profiles {
        fs::write(format!("{folder}/{name}.yaml"), format!("name: {name}\nextends: default\n{text}")).unwrap();
    }
    fs::write(bundle.file("config.yaml"), format!("annotations: {{folder: {folder}}}\n")).unwrap();
    for folder in ["tmp", "etc", "w [a]{b}^"] {
        fs::create_dir(bundle.rootfs(folder)).unwrap();
    }
    bundle.edit(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    Some(bundle)
}

fn choose(bundle: &Bundle, profile: Option<&str>) {
    bundle.edit(|spec| spec["annotations"] = profile.map_or(json!({}), |name| json!({ "zviz.io/profile": name })));
}

fn zviz(bundle: &Bundle, arguments: &[&str]) -> Command {
    let config = bundle.file("config.yaml");
    bundle.command(&[&["--config", &config], arguments].concat())
}

fn said(bundle: &Bundle, profile: Option<&str>, script: &str) -> String {
    choose(bundle, profile);
    bundle.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", format!("exec 2>&1; {script}")]));
    run(&mut zviz(bundle, &["run", "--bundle", bundle.path(), &bundle.name])).ok() + "\n"
}

fn create(bundle: &Bundle) {
    let mut command = zviz(bundle, &["create", "--bundle", bundle.path(), &bundle.name]);
    let error = fs::File::create(bundle.file("error")).unwrap();
    let status = command.stdout(Stdio::null()).stderr(error).status().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(bundle.file("error")).unwrap());
}

#[test]
fn ways_out_are_denied_and_the_kernel_says_so() {
    requires!(root, program "busybox", program "apparmor_parser", file "/sys/kernel/security/apparmor/profiles");
    let text = "capabilities: {drop_all: false}\n";
    let confined = format!("{text}lsm: {{type: apparmor}}\nfilesystem: {{hidden: [/etc/ways-out]}}\n");
    let Some(bundle) = under("ways-out", &[("plain", text), ("confined", &confined)]) else { return };
    // The kernel answers `h` with a line of help.
    let script =
        "cat /proc/self/attr/current; echo h > /proc/sysrq-trigger && echo wrote; echo hello > /tmp/x; cat /tmp/x";
    assert_eq!(said(&bundle, Some("plain"), script), "unconfined\nwrote\nhello\n", "the control");
    let denied = said(&bundle, Some("confined"), script);
    let name = label(&denied).unwrap_or_else(|| panic!("{denied}"));
    assert!(name.starts_with("zviz-") && !denied.contains("wrote") && denied.ends_with("hello\n"), "{denied}");
    assert!(denied.contains("ermission denied"), "{denied}");
    let log = run(&mut Command::new("dmesg")).ok();
    let line =
        log.lines().find(|line| line.contains("apparmor=\"DENIED\"") && line.contains(&format!("profile=\"{name}\"")));
    assert!(line.is_some_and(|line| line.contains("name=\"/proc/sysrq-trigger\"")), "{line:?}");
    assert!(!is_loaded(&name));
    bundle.leaves_nothing();
}

#[test]
fn lists_are_kept_by_apparmor_alone() {
    requires!(root, program "busybox", program "apparmor_parser", file "/sys/kernel/security/apparmor/profiles");
    let text = "lsm: {type: apparmor, profile: generate}\n\
                filesystem: {writable: ['/w [a]{b}^', /tmp], executable: [/bin], hidden: [/etc/lists]}\n";
    let (Some(holder), Some(other)) = (under("lists", &[("own", text)]), under("lists-other", &[])) else { return };
    choose(&holder, Some("own"));
    create(&holder);
    holder.ok(&["start", &holder.name]);
    let own = label(&holder.ok(&["exec", &holder.name, "cat", "/proc/self/attr/current"])).unwrap();
    // Neither Landlock nor a filter: the label alone.
    let script = "echo x > '/w [a]{b}^/x' && echo odd; echo x > /etc/x && echo etc; cat /bin/busybox > /tmp/busybox && echo tmp; \
                  busybox chmod 755 /tmp/busybox; /tmp/busybox true && echo ran; /bin/busybox true && echo system; \
                  sleep 9 & kill $! && echo signalled; exit 0";
    let with = |name: Option<&str>| {
        other.edit(|spec| spec["process"]["apparmorProfile"] = json!(name));
        let said = said(&other, None, script);
        said.lines().filter(|line| !line.contains(':')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(with(None), ["odd", "etc", "tmp", "ran", "system", "signalled"], "the control");
    assert_eq!(with(Some(&own)), ["odd", "tmp", "system", "signalled"]);
    holder.ok(&["delete", "--force", &holder.name]);
    assert!(!is_loaded(&own));
    other.leaves_nothing();
}

#[test]
fn containers_share_one_and_the_last_unloads_it() {
    requires!(root, program "busybox", program "apparmor_parser", file "/sys/kernel/security/apparmor/profiles");
    let text = [("own", "lsm: {type: apparmor}\nfilesystem: {hidden: [/etc/shared]}\n")];
    let (Some(one), Some(other)) = (under("shares", &text), under("shares-other", &text)) else { return };
    for bundle in [&one, &other] {
        choose(bundle, Some("own"));
        create(bundle);
        bundle.ok(&["start", &bundle.name]);
    }
    let name = |bundle: &Bundle| label(&bundle.ok(&["exec", &bundle.name, "cat", "/proc/self/attr/current"])).unwrap();
    let own = name(&one);
    assert_eq!(own, name(&other));
    one.ok(&["delete", "--force", &one.name]);
    assert!(is_loaded(&own) && name(&other) == own);
    other.ok(&["delete", "--force", &other.name]);
    assert!(!is_loaded(&own));

    // Unloaded by somebody else before it starts: without it, it does not.
    create(&one);
    fs::write("/sys/kernel/security/apparmor/.remove", &own).unwrap();
    one.refused(&["start", &one.name], "was unloaded since the container was created");
    one.ok(&["delete", "--force", &one.name]);

    // The runtime is killed on its way: init waits for ever, and the profile is there.
    let hook = one.file("hook");
    one.edit(|spec| {
        let script = format!("echo $$ > {hook}; exec sleep 1000");
        spec["hooks"]["createRuntime"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    });
    let mut killed = zviz(&one, &["run", "--bundle", one.path(), &one.name]).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let pid = loop {
        assert!(Instant::now() < deadline, "the hook does not run");
        match fs::read_to_string(&hook).unwrap_or_default().trim().parse() {
            Ok(pid) => break pid,
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    killed.kill().unwrap();
    killed.wait().unwrap();
    // It may have ended with who ran it.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    assert!(is_loaded(&own));
    one.ok(&["delete", "--force", &one.name]);
    assert!(!is_loaded(&own));
    for bundle in [&one, &other] {
        bundle.leaves_nothing();
    }
}

/// `zviz run -- sh -c SCRIPT` under a profile, with the output in a file that is not in any list.
fn sandboxed(folder: &Path, profile: &str, script: &str) -> (Output, String) {
    let path = folder.join("own.yaml");
    fs::write(&path, profile).unwrap();
    let out = folder.join("out");
    let mut command = Command::new(ZVIZ);
    command
        .arg("--root")
        .arg(folder.join("root"))
        .args(["run", "--profile"])
        .arg(&path)
        .args(["--", "sh", "-c", script]);
    let output = command.current_dir(folder.join("work")).stdin(Stdio::null()).stdout(fs::File::create(&out).unwrap());
    (output.output().unwrap(), fs::read_to_string(out).unwrap())
}

#[test]
fn ordinary_programs_run_under_it() {
    requires!(root, program "apparmor_parser", program "unshare", file "/sys/kernel/security/apparmor/profiles");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("work")).unwrap();
    let lists = "name: own\nextends: default\nlsm: {type: apparmor}\n\
                 filesystem: {writable: [/tmp], executable: [/usr, /bin, /lib, /lib64]}\n";
    let script = "cat /proc/self/attr/current; ls -l /etc/passwd | wc -l; echo b > x; mv x y; ln y z; sort y; \
                  (sleep 100 & kill $!; wait $!; echo $?); touch /tmp/t; chmod 600 /tmp/t; ps | grep -c sh; \
                  mkfifo p; (echo piped > p &) ; cat p; echo end";
    let (output, said) = sandboxed(folder.path(), lists, script);
    let name = label(&said).unwrap_or_else(|| panic!("{output:?} {said}"));
    let rest: Vec<&str> = said.lines().skip(1).filter(|line| line.parse::<u32>().is_err()).collect();
    assert_eq!(rest, ["b", "piped", "end"], "{output:?} {said}");
    assert!(said.contains("\n143\n"), "{said}");
    assert!(!is_loaded(&name));

    // Files that the broker opens in a program's place.
    let agent = "name: own\nextends: agent\nlsm: {type: apparmor}\n";
    let script = "cat /proc/self/attr/current; echo a > a; mkdir -p .git/hooks; echo b > .git/hooks/b || cat a";
    let (output, said) = sandboxed(folder.path(), agent, script);
    assert!(label(&said).is_some() && said.ends_with("\na\n"), "{output:?} {said}");

    // What the broker does in the place of a program under it is judged by it too.
    let nested = "name: own\nextends: nested\nlsm: {type: apparmor}\n";
    let script = "cat /proc/self/attr/current; unshare -Urm sh -c 'mount -t tmpfs t /tmp && echo mounted'";
    let (output, said) = sandboxed(folder.path(), nested, script);
    assert!(label(&said).is_some() && said.ends_with("\nmounted\n"), "{output:?} {said}");
    assert!(!is_loaded(&label(&said).unwrap()));
}

#[test]
fn without_its_compiler_nothing_starts() {
    requires!(root, program "busybox", program "unshare", file "/sys/kernel/security/apparmor/profiles");
    let Some(bundle) = under("no-parser", &[("own", "lsm: {type: apparmor}\n")]) else { return };
    choose(&bundle, Some("own"));
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs none /usr/sbin && exec \"$@\"", "sh", ZVIZ]);
    command.args(["--root", &bundle.file("root"), "--config", &bundle.file("config.yaml")]);
    let output = command.args(["run", "--bundle", bundle.path(), &bundle.name]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("apparmor_parser is not installed"), "{error}");
    bundle.leaves_nothing();
}
