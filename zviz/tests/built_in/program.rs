//! Programs that a profile is named for.

use crate::callers::Caller;
use crate::support::{missing, skip};
use std::process::Command;

/// Its name, what it needs, a script whose last word is `done`, and flags as root.
pub struct Program(pub &'static str, pub &'static [&'static str], pub &'static str, pub &'static [&'static str]);

/// Server programs that insist on giving up root are run as somebody else from the start: there is nothing to give up.
pub const AS_SOMEBODY: &[&str] = &["--user", "USER", "--cwd", "/data", "--tmpfs", "/data"];

const LOAD: &str = include_str!("load.py");

/// Whether a caller may use a profile here: an ordinary user who has no cgroups is refused by one that insists on limits.
pub fn works(profile: &str, caller: &Caller) -> bool {
    let output = caller.run(&["--profile", profile], &["true"]);
    let error = String::from_utf8_lossy(&output.stderr);
    let refused = !output.status.success() && error.contains("cannot be limited by this caller's cgroups");
    assert!(refused || output.status.success(), "as {}: {output:?}", caller.name());
    if refused {
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        if caller.root {
            skip(&profile.replace('-', "_"), error.trim());
        }
    }
    !refused
}

/// Runs each as both callers.
pub fn all_run(profile: &str, programs: &[Program]) {
    let callers = Caller::both();
    for caller in callers.iter().filter(|caller| works(profile, caller)) {
        for Program(name, needs, script, as_root) in programs {
            let test = format!("{}::{name}", profile.replace('-', "_"));
            if let Some(missing) = missing(needs) {
                skip(&test, &format!("{missing} is not installed"));
                continue;
            }
            let as_root = as_root.iter().filter(|_| caller.root);
            let mut flags: Vec<&str> = as_root.map(|flag| if *flag == "USER" { caller.user() } else { flag }).collect();
            let load = format!("LOAD={LOAD}");
            flags.extend(["--env", &load, "--profile", profile]);
            check(&test, caller, caller.sandbox(&flags, &["sh", "-euc", script]));
            empty(&caller.work);
        }
    }
}

fn check(test: &str, caller: &Caller, mut command: Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let done = output.status.success() && out.lines().last() == Some("done");
    assert!(done, "{test} as {}: {}\n{out}\n{err}", caller.name(), output.status);
    assert_eq!(caller.left(), [""; 0], "{test} as {} left something behind", caller.name());
}

/// Compiles with the tests' own toolchain, which is shared read-only.
pub fn cargo(profile: &str) {
    let test = format!("{}::cargo", profile.replace('-', "_"));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "sysroot"]).output() else {
        return skip(&test, "rustc is not installed");
    };
    let sysroot = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if let Some(missing) = missing(&["gcc", "unshare", "mount", "setpriv"]) {
        return skip(&test, &format!("{missing} is not installed"));
    }
    for caller in Caller::both() {
        let rust = caller.place.path().join("rust");
        std::fs::create_dir(&rust).unwrap();
        let rust = rust.to_str().unwrap();
        let path = format!("PATH={rust}/bin:/usr/bin:/bin");
        let flags = ["--profile", profile, "--ro", rust, "--env", &path];
        let zviz = caller.sandbox(&flags, &["sh", "-euc", include_str!("../programs/cargo.sh")]);
        let (uid, gid) = caller.ids();
        let mut command = Command::new("unshare");
        command.current_dir(&caller.work).args(["--mount", "sh", "-euc"]);
        // An ordinary user may not look where the toolchain is, in a home folder perhaps.
        command.arg("mount --bind \"$1\" \"$2\"; shift 2; exec setpriv \"$@\"");
        command.args(["sh", &sysroot, rust, &format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
        command.arg(zviz.get_program()).args(zviz.get_args());
        command.env_clear().env("HOME", &caller.home).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        check(&test, &caller, command);
    }
}

/// A program that somebody compiled elsewhere, and that is shared to be executed.
pub fn compiled(profile: &str, compile: &str) {
    let test = format!("{}::compiled", profile.replace('-', "_"));
    if let Some(missing) = missing(&["gcc"]) {
        return skip(&test, &format!("{missing} is not installed"));
    }
    for caller in Caller::both().into_iter().filter(|caller| works(profile, caller)) {
        let folder = caller.place.path().join("tenant");
        std::fs::create_dir(&folder).unwrap();
        assert!(Command::new("sh").args(["-ec", compile]).current_dir(&folder).status().unwrap().success());
        let shared = format!("{}:/tenant", folder.display());
        let output = caller.run(&["--profile", profile, "--ro", &shared], &["/tenant/m"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{test} as {}: {output:?}", caller.name());
    }
}

/// Removes what was made in a folder.
pub fn empty(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let is_folder = entry.file_type().unwrap().is_dir();
        if is_folder { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) }.unwrap();
    }
}
