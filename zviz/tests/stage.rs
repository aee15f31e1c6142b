//! `zviz run --stage` and `zviz stage`, as root and as an ordinary user: what is written stays out of the folder until it is
//! applied, and what is applied is what was looked at. What attacks try is in `stage_attacks.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod staged;
mod support;

use callers::Caller;
use staged::{Stager, each, listing};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Instant;

/// Makes, changes, deletes, renames; the folder stays as it was, and is what the sandbox saw once all is applied.
#[test]
fn what_is_written_waits_to_be_applied() {
    each("what_is_written_waits_to_be_applied", |caller| {
        caller
            .fills("mkdir -p d/e k; echo one > a; echo two > b; echo x > d/e/x; echo y > k/y; echo s > s; chmod 755 s");
        let script = "echo more >> a; rm b; mkdir -p n/m; echo new > n/m/f; rm -r d; mkdir d; echo z > d/z; chmod 600 s; \
                      ln -s a l; mv k moved; printf x > \"$(printf 'new\\nline')\"; mkdir -m 555 shut";
        let before = listing(&caller.work);
        // The control: without --stage, the same reaches the folder.
        caller.says(&[], "touch control");
        assert!(caller.work.join("control").exists());
        fs::remove_file(caller.work.join("control")).unwrap();
        let seen = caller.says(&["--stage"], &format!("{script}; find . | sort; cat a n/m/f moved/y"));
        assert_eq!(listing(&caller.work), before, "as {}: the folder has changed", caller.name());
        // The same stage, the same view.
        assert_eq!(caller.says(&["--stage"], "find . | sort; cat a n/m/f moved/y"), seen);
        let stat = caller.stage(&["diff", "--stat"]);
        for line in [
            "M a",
            "D b",
            "D d/e/x",
            "D d/e/",
            "A d/z",
            "D k/y",
            "D k/",
            "A l -> a",
            "A moved/",
            "A moved/y",
            "A n/",
            "A n/m/",
            "A n/m/f",
            "A new\\nline",
            "P s  mode 0755 -> 0600",
            "A shut/",
        ] {
            assert!(stat.lines().any(|own| own == line), "as {}: {line} is not in\n{stat}", caller.name());
        }
        let text = caller.stage(&["diff", "a"]);
        assert!(text.contains("--- a/a\n+++ b/a\n@@ -1 +1,2 @@\n one\n+more\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&caller.stage(&["diff", "--json"])).unwrap();
        let paths: Vec<&str> =
            json["changes"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"new\nline") && paths.len() == 16, "{paths:?}");
        assert!(caller.stage(&["list"]).contains(caller.work.to_str().unwrap()));
        caller.stage(&["apply"]);
        assert_eq!(caller.says(&[], "find . | sort; cat a n/m/f moved/y"), seen);
        assert_eq!(fs::metadata(caller.work.join("s")).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(caller.work.join("shut")).unwrap().mode() & 0o7777, 0o555);
        let made = fs::metadata(caller.work.join("n/m/f")).unwrap();
        assert_eq!((made.uid(), made.gid()), caller.ids());
        assert_eq!(caller.stage(&["list"]), "", "an applied stage is gone");
    });
}

#[test]
fn paths_are_applied_and_reverted_alone() {
    each("paths_are_applied_and_reverted_alone", |caller| {
        caller.fills("mkdir d; echo 1 > d/a; echo 1 > b; echo 1 > c");
        caller.says(&["--stage"], "echo 2 > d/a; echo 2 > b; rm c; mkdir -p n/m; echo 2 > n/m/f; echo 2 > n/g");
        caller.stage(&["apply", "d", "n/m/f"]);
        assert_eq!(fs::read_to_string(caller.work.join("d/a")).unwrap(), "2\n");
        assert!(caller.work.join("n/m/f").exists() && !caller.work.join("n/g").exists());
        let stat = |caller: &Caller| caller.stage(&["diff", "--stat"]);
        assert_eq!(stat(caller), "M b\nD c\nA n/g\n1 made, 1 changed, 1 deleted\n");
        caller.stage(&["revert", "c"]);
        assert_eq!(stat(caller), "M b\nA n/g\n1 made, 1 changed, 0 deleted\n");
        // What was applied is no change of somebody else's.
        caller.says(&["--stage"], "echo 3 > d/a; cat c");
        assert!(!stat(caller).contains("conflict"), "{}", stat(caller));
        assert!(caller.stage_fails(&["apply", "c"]).contains("no change"));
        caller.stage(&["apply", "d/a"]);
        assert_eq!(fs::read_to_string(caller.work.join("d/a")).unwrap(), "3\n");
        caller.stage(&["revert"]);
        assert_eq!(caller.stage(&["list"]), "");
        assert_eq!(fs::read_to_string(caller.work.join("b")).unwrap(), "1\n");
    });
}

#[test]
fn changes_of_the_host_are_conflicts() {
    each("changes_of_the_host_are_conflicts", |caller| {
        caller.fills("mkdir d e; for f in a b c d/x e/y e/z; do echo 1 > $f; done");
        caller.says(&["--stage"], "echo 2 > a; echo 2 > b; rm c; rm -r d; echo 2 > e/y; echo 2 > e/z; echo 2 > new");
        caller.fills("echo host > a; echo host > c; echo host > d/more; rm e/y; echo host > new; touch untouched");
        let stat = caller.stage(&["diff", "--stat"]);
        for path in ["M a", "D c", "D d/more", "A e/y", "M new"] {
            let line = stat.lines().find(|line| line.starts_with(path)).unwrap_or_else(|| panic!("{path}: {stat}"));
            assert!(line.contains("[conflict"), "as {}: {line}", caller.name());
        }
        assert!(!stat.lines().any(|line| line.starts_with("M b") && line.contains("conflict")), "{stat}");
        let before = listing(&caller.work);
        assert!(caller.stage_fails(&["apply"]).contains("--force"));
        assert_eq!(listing(&caller.work), before, "nothing is applied where something is a conflict");
        caller.stage(&["apply", "b", "e/z"]);
        let error = caller.stage_fails(&["apply", "e/y"]);
        assert!(error.contains("was removed on the host"), "what came beside it does not hide it: {error}");
        caller.stage(&["apply", "--force"]);
        let read = |name: &str| fs::read_to_string(caller.work.join(name)).unwrap();
        assert_eq!((read("a"), read("e/y"), read("new")), ("2\n".into(), "2\n".into(), "2\n".into()));
        assert!(!caller.work.join("c").exists() && !caller.work.join("d").exists());
    });
}

/// Nothing is in them that could tell of it.
#[test]
fn empty_folders_of_the_host_are_conflicts_too() {
    each("empty_folders_of_the_host_are_conflicts_too", |caller| {
        caller.fills("mkdir -p d/old e/old f/old; for f in d e f; do echo 1 > $f/x; done");
        caller.says(&["--stage"], "rm -r d; rm -r e; echo file > e; rm -r f; mkdir f; echo 2 > f/x");
        caller.fills("mkdir -p d/new/er e/new f/new; chmod 700 d/old");
        let stat = caller.stage(&["diff", "--stat"]);
        let told: Vec<&str> = stat.lines().filter(|line| line.contains("[conflict")).collect();
        let paths: Vec<&str> = told.iter().filter_map(|line| line.split("  [").next()).collect();
        assert_eq!(paths, ["D d/new/er/", "D d/old/", "D e/new/", "D f/new/"], "as {}: {stat}", caller.name());
        let error = caller.stage_fails(&["apply"]);
        assert!(error.contains("\n  d/new/er: was changed on the host"), "{error}");
        assert!(caller.work.join("d/new/er").exists());
        // Parts of it, and what comes and goes by our own hands, are no change of somebody else's.
        caller.stage(&["apply", "d/x"]);
        caller.fills("rmdir d/new/er d/new e/new f/new; chmod 755 d/old");
        caller.stage(&["revert", "d"]);
        caller.stage(&["apply", "f/old"]);
        caller.stage(&["apply", "--force"]);
        caller.says(&["--stage"], "mkdir -p made/inner; echo 1 > kept");
        caller.stage(&["apply", "made"]);
        caller.says(&["--stage"], "rmdir made/inner made");
        let stat = caller.stage(&["diff", "--stat"]);
        assert!(stat.contains("D made/\n") && !stat.contains("conflict"), "as {}: {stat}", caller.name());
        caller.stage(&["apply"]);
        assert!(!caller.work.join("made").exists() && caller.work.join("d/old").exists());
    });
}

#[test]
fn stages_have_one_user_at_a_time_and_names() {
    each("stages_have_one_user_at_a_time_and_names", |caller| {
        let ready = caller.work.join("../home/ready");
        let mut first = caller
            .sandbox(
                &["--stage=one", "--rw", caller.home.to_str().unwrap()],
                &["sh", "-c", "touch $HOME/ready; touch x; sleep 60"],
            )
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while !ready.exists() {
            assert!(begin.elapsed().as_secs() < 30);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let second = caller.run(&["--stage=one"], &["true"]);
        assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
        assert!(caller.stage_fails(&["revert", "--name", "one"]).contains("in use"));
        caller.says(&["--stage=two"], "touch y; test ! -e x");
        let pid = nix::unistd::Pid::from_raw(first.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        first.wait().unwrap();
        assert!(caller.stage_fails(&["diff"]).contains("several stages"));
        assert!(caller.stage(&["diff", "-n", "two", "--stat"]).starts_with("A y\n"));
        let bad = caller.run(&["--stage=../x"], &["true"]);
        assert!(String::from_utf8_lossy(&bad.stderr).contains("is no name of a stage"), "{bad:?}");
        for name in ["one", "two"] {
            caller.stage(&["revert", "-n", name]);
        }
        assert_eq!(listing(&caller.work), "");
    });
}

/// A stage costs what is written, not what there is: counted in calls that name a file or read a folder.
#[test]
fn large_folders_cost_no_more() {
    support::requires!(root, program "strace");
    const FILES: usize = 5000;
    each("large_folders_cost_no_more", |caller| {
        let run = |caller: &Caller| file_calls(caller, &caller.sandbox(&["--stage"], &["true"]));
        let empty = run(caller);
        caller.fills("for d in $(seq 5); do mkdir $d; (cd $d; touch $(seq 1000)); done");
        let full = run(caller);
        println!("as {}: {empty} calls in an empty folder, {full} among {FILES} files", caller.name());
        // Some are made again where something else was not ready.
        assert!(full < empty + FILES / 10, "{empty} {full}");
        caller.says(&["--stage"], "echo x > 5/500; rm 1/1");
        let zviz = caller.place.path().join("zviz");
        let diff = |caller: &Caller| file_calls(caller, caller.program(&zviz).args(["stage", "diff", "--stat"]));
        let few = diff(caller);
        assert!(few < FILES / 10, "{few}");
        assert_eq!(caller.stage(&["diff", "--stat"]), "D 1/1\nM 5/500\n0 made, 1 changed, 1 deleted\n");
        // The control: what is deleted is looked at.
        caller.says(&["--stage"], "rm -r 2 3");
        let many = diff(caller);
        println!("as {}: {few} calls for the difference in two files, {many} in 2,000 more", caller.name());
        assert!(many > 2000, "{many}");
        caller.stage(&["revert", "2"]);
        caller.stage(&["revert", "3"]);
        caller.stage(&["apply"]);
    });
}

/// How many calls a command makes, with those that it starts, that name a file or read a folder.
fn file_calls(caller: &Caller, command: &Command) -> usize {
    let log = caller.place.path().join("calls");
    // strace as root, since a set-user-ID program has no rights under an ordinary user's.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=%file,getdents64,openat2,statx", "-o"]).arg(&log);
    if !caller.root {
        strace.args(["-u", caller.user()]);
    }
    strace.arg(command.get_program()).args(command.get_args()).current_dir(&caller.work).env_clear();
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.output().unwrap();
    assert!(output.status.success(), "as {}: {output:?}", caller.name());
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter(|line| !line.contains(" resumed>")).count()
}

/// In a worktree, `.git` is a file that names a folder elsewhere, which is not there inside.
#[test]
fn worktrees_of_git() {
    support::requires!(program "git");
    each("worktrees_of_git", |caller| {
        caller.fills(
            "cd ../home; git init -q main; cd main; git config user.email a@b; git config user.name a; echo 1 > f; git add f; \
             git commit -qm 1; git worktree add -q ../../work -b tree",
        );
        caller.says(&["--stage"], "echo 2 > f; test -f .git; if git status; then exit 1; fi");
        assert_eq!(caller.stage(&["diff", "--stat"]), "M f\n0 made, 1 changed, 0 deleted\n");
        caller.stage(&["apply"]);
        let status = caller.program("git").args(["status", "--short"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&status.stdout), " M f\n", "{status:?}");
        // Shared because it was asked for.
        let repository = caller.home.join("main/.git");
        caller.says(&["--stage", "--rw", repository.to_str().unwrap()], "git status --short | grep -q 'M f'");
    });
}

#[test]
fn folders_that_cannot_be_staged() {
    each("folders_that_cannot_be_staged", |caller| {
        let mut inside = caller.sandbox(&["--stage"], &["true"]);
        let output = inside.env("XDG_STATE_HOME", caller.work.join("state")).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("where stages are kept"), "{output:?}");
        let work = caller.work.to_str().unwrap();
        for (flags, why) in [
            (["--cwd", "/"].as_slice(), "nothing to stage"),
            (&["--rw", work], "shares the current folder itself"),
            (&["--tmpfs", &format!("{work}/absent")], "makes no places"),
        ] {
            let output = caller.run(&[&["--stage"], flags].concat(), &["true"]);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(125) && text.contains(why), "{flags:?}: {text}");
        }
        // The home folder of who has opened it for others.
        let open = caller.place.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let output = caller.sandbox(&["--stage"], &["true"]).env("XDG_STATE_HOME", &open).output().unwrap();
        assert!(output.status.success(), "what is made below is ours: {output:?}");
        assert_eq!(caller.stage(&["list"]), "", "what did not run leaves no stage");
    });
}
