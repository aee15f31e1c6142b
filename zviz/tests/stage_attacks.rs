//! What a sandbox with a stage may try against the folder, and against who applies the stage. Each attack has its control:
//! without `--stage`, or without the guard, the same thing reaches the host.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod staged;
mod support;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use staged::{Stager, each, listing};
use std::fs;
use std::os::unix::fs::symlink;
use support::requires;

/// A script, the path of its change, and why that is refused.
const REFUSED: &[(&str, &str, &str)] = &[
    ("cp /bin/true suid; chmod 4755 suid", "suid", "set-id"),
    ("cp /bin/true sgid; chmod 2755 sgid", "sgid", "set-id"),
    ("mkdir -m 2775 group", "group", "set-group-id"),
    ("chmod g+s folder", "folder", "set-group-id"),
    ("mkfifo fifo", "fifo", "is a FIFO"),
    (
        "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"sock\", Listen => 1) or die'",
        "sock",
        "is a socket",
    ),
    ("ln -s /etc/passwd absolute", "absolute", "absolute"),
    ("ln -s ../home up", "up", "leads out"),
    ("ln -s ../../home folder/up", "folder/up", "leads out"),
    ("mkdir -p a/b; ln -s a/b down; ln -s down/../../../home around", "around", "leads out"),
    ("ln -s out/home through", "through", "leads out"),
];

#[test]
fn what_is_never_applied() {
    requires!(root, program "perl");
    each("what_is_never_applied", |caller| {
        caller.fills("mkdir folder; touch folder/x; ln -s .. out");
        let before = listing(&caller.work);
        for (script, path, why) in REFUSED {
            // The control: it can be made in the folder itself.
            caller.says(&[], script);
            assert!(listing(&caller.work).lines().any(|line| line.starts_with(&format!("{path} "))), "{script}");
            caller.fills("find . -mindepth 1 -delete; mkdir folder; touch folder/x; ln -s .. out");
            caller.says(&["--stage"], script);
            let stat = caller.stage(&["diff", "--stat"]);
            let line =
                stat.lines().find(|line| line.contains("[refused")).unwrap_or_else(|| panic!("{script}: {stat}"));
            assert!(line.contains(path) && line.contains(why), "{script}: {line}");
            let error = caller.stage_fails(&["apply", "--force", "--trust"]);
            assert!(error.contains(why), "as {}: {script}: {error}", caller.name());
            caller.stage(&["revert"]);
            assert_eq!(listing(&caller.work), before, "as {}: {script}", caller.name());
        }
        // A link that stays inside is no attack.
        caller.says(&["--stage"], "ln -s ../folder/x folder/l; ln -s folder/x m");
        caller.stage(&["apply"]);
        assert!(caller.work.join("folder/l").exists() && caller.work.join("m").exists());
    });
}

#[test]
fn devices_are_neither_made_nor_applied() {
    each("devices_are_neither_made_nor_applied", |caller| {
        for script in ["mknod null c 1 3", "mknod white c 0 0", "mknod disk b 8 0"] {
            let output = caller.run(&["--stage"], &["sh", "-c", script]);
            assert!(!output.status.success(), "as {}: {script}", caller.name());
        }
        // As if one had come into the layer in spite of that.
        caller.says(&["--stage=it"], "touch x");
        let upper = caller.home.join(".state/zviz/stages/it/layers/upper");
        let device = makedev(1, 3);
        mknod(&upper.join("null"), SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, device).unwrap();
        assert!(caller.stage(&["diff", "--stat"]).contains("A null  [refused: is a device]"));
        assert!(caller.stage_fails(&["apply", "--force", "--trust"]).contains("null: is a device"));
        caller.stage(&["apply", "x"]);
        assert!(caller.work.join("x").exists() && !caller.work.join("null").exists());
        caller.stage(&["revert"]);
    });
}

#[test]
fn files_that_others_obey_are_asked_for() {
    each("files_that_others_obey_are_asked_for", |caller| {
        let script = "mkdir -p .git/hooks .vscode .github/workflows; echo id > .git/hooks/post-checkout; echo x > plain; \
                      chmod 755 .git/hooks/post-checkout; echo {} > .vscode/tasks.json; echo on > .github/workflows/a.yml; \
                      echo '[core]' > .git/config; echo export > .envrc; mkdir sub; echo {} > sub/package.json";
        caller.says(&[], script);
        assert!(caller.work.join(".git/hooks/post-checkout").exists(), "without a stage it reaches the host");
        caller.fills("find . -mindepth 1 -delete; echo old > .bashrc");
        caller.says(&["--stage"], &format!("{script}; rm .bashrc"));
        let error = caller.stage_fails(&["apply"]);
        for path in [
            ".git/hooks/post-checkout",
            ".git/config",
            ".vscode/tasks.json",
            ".github/workflows/a.yml",
            ".envrc",
            "sub/package.json",
            ".bashrc",
        ] {
            assert!(error.contains(&format!("\n  {path}: ")), "as {}: {path}: {error}", caller.name());
        }
        assert!(!error.contains("\n  plain"), "{error}");
        assert_eq!(listing(&caller.work).lines().count(), 1, "nothing is applied");
        assert!(caller.stage_fails(&["apply", "plain", "sub"]).contains("sub/package.json"));
        caller.stage(&["apply", "plain"]);
        caller.stage(&["apply", "--trust"]);
        assert!(caller.work.join(".git/hooks/post-checkout").exists() && !caller.work.join(".bashrc").exists());
    });
}

/// What a name below the staged folder does not tell.
#[test]
fn files_that_others_obey_are_known_by_where_they_are() {
    requires!(root, program "git");
    each("files_that_others_obey_are_known_by_where_they_are", |caller| {
        caller.fills("git init -q --bare lib.bare; mkdir -p .github/workflows project/.claude/tree; git init -q project/.claude/tree");
        caller
            .says(&["--stage"], "echo e > lib.bare/hooks/update; echo >> lib.bare/config; echo x > lib.bare/objects/x");
        let error = caller.stage_fails(&["apply"]);
        for path in ["lib.bare/hooks/update", "lib.bare/config"] {
            assert!(error.contains(&format!("\n  {path}: ")), "as {}: {path}: {error}", caller.name());
        }
        assert!(!error.contains("objects"), "{error}");
        caller.stage(&["revert"]);
        // Only a part of a project is staged, or a project that lies in such a place.
        for (folder, name, asked) in
            [(".github", "workflows/a.yml", true), ("project/.claude/tree", "a.rs", false), ("project", "a.rs", false)]
        {
            let folder = caller.work.join(folder);
            let script = format!("echo x > {name}");
            let run = caller.sandbox(&["--stage"], &["sh", "-c", &script]).current_dir(&folder).output().unwrap();
            assert!(run.status.success(), "{run:?}");
            let mut zviz = caller.program(caller.place.path().join("zviz"));
            let apply = zviz.args(["stage", "apply"]).current_dir(&folder).output().unwrap();
            assert_eq!(apply.status.success(), !asked, "as {}: {name}: {apply:?}", caller.name());
            assert_eq!(folder.join(name).exists(), !asked, "{name}");
        }
        let mut zviz = caller.program(caller.place.path().join("zviz"));
        assert!(zviz.args(["stage", "revert"]).current_dir(caller.work.join(".github")).status().unwrap().success());
    });
}

/// Between the look and the application, a folder of the host becomes a link to another one.
#[test]
fn links_of_the_host_are_not_followed() {
    each("links_of_the_host_are_not_followed", |caller| {
        let outside = caller.home.join("outside");
        caller.fills("mkdir d ../home/outside; echo 1 > d/f; echo 1 > ../home/outside/f; echo 1 > a; echo 1 > gone");
        caller.says(&["--stage"], "echo 2 > d/f; echo 2 > d/new; echo 2 > a; rm gone");
        assert!(!caller.stage(&["diff"]).contains("conflict"));
        for (from, name) in [("outside", "d"), ("outside/f", "a"), ("outside/f", "gone")] {
            caller.fills(&format!("mv {name} ../home/was-{name}; ln -s $HOME/{from} {name}"));
        }
        // The control: this is where a write by path would go.
        assert_eq!(fs::read_to_string(caller.work.join("d/f")).unwrap(), "1\n");
        let error = caller.stage_fails(&["apply", "--trust"]);
        assert!(error.contains("d: was changed") && error.contains("a: was changed"), "as {}: {error}", caller.name());
        caller.stage(&["apply", "--force"]);
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "1\n");
        assert!(!outside.join("new").exists());
        assert!(fs::symlink_metadata(caller.work.join("d")).unwrap().is_dir());
        assert_eq!(fs::read_to_string(caller.work.join("d/f")).unwrap(), "2\n");
        // The folder itself.
        caller.says(&["--stage"], "echo 3 > a");
        let moved = caller.place.path().join("moved");
        fs::rename(&caller.work, &moved).unwrap();
        symlink(&outside, &caller.work).unwrap();
        let name = caller.stage(&["list"]).split_whitespace().next().unwrap().to_owned();
        assert!(caller.stage_fails(&["apply", "-n", &name]).contains("not the folder that was staged"));
        assert!(!outside.join("a").exists());
        fs::remove_file(&caller.work).unwrap();
        fs::rename(&moved, &caller.work).unwrap();
        caller.stage(&["apply"]);
    });
}

/// The sandbox cannot reach the folder, or the marks that the kernel makes, by another way.
#[test]
fn the_layers_are_out_of_reach() {
    requires!(root, program "python3");
    each("the_layers_are_out_of_reach", |caller| {
        caller.fills("echo 1 > a; mkdir d; echo 1 > d/x; ln a ../home/other-name");
        let state = caller.home.join(".state");
        for script in [
            "umount .".to_owned(),
            "mount -o remount,lowerdir=/ .".to_owned(),
            format!("ls {}", state.display()),
            "python3 -c 'import os; os.setxattr(\"d\", \"trusted.overlay.opaque\", b\"y\")'".to_owned(),
        ] {
            let output = caller.run(&["--stage"], &["sh", "-c", &script]);
            assert!(!output.status.success(), "as {}: {script} worked", caller.name());
        }
        // A mark that is made by hand is not one: what is below still shows, inside and in the difference.
        let mark = "import os\ntry: os.setxattr(\"d\", \"user.overlay.opaque\", b\"y\")\nexcept OSError: pass\n\
                    open(\"empty\", \"w\").close()\n\
                    try: os.setxattr(\"empty\", \"user.overlay.whiteout\", b\"y\")\nexcept OSError: pass\n";
        caller.says(&["--stage"], &format!("python3 -c '{mark}'; cat d/x; ln a b; echo 2 >> b; echo 2 > d/x"));
        assert_eq!(caller.stage(&["diff", "--stat"]), "M a\nA b\nM d/x\nA empty\n2 made, 2 changed, 0 deleted\n");
        assert_eq!(fs::read_to_string(caller.work.join("a")).unwrap(), "1\n");
        caller.stage(&["apply"]);
        let other = fs::read_to_string(caller.home.join("other-name")).unwrap();
        assert_eq!(other, "1\n", "another name of the file, outside, keeps what it had");
    });
}

/// Trees that are made to be in the way: deep ones, closed ones, odd names.
#[test]
fn what_is_in_the_way_can_be_thrown_away() {
    requires!(root, program "python3");
    each("what_is_in_the_way_can_be_thrown_away", |caller| {
        let deep = "import os\nfor i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")\n";
        caller.says(&["--stage"], &format!("python3 -c '{deep}'"));
        assert!(caller.stage_fails(&["diff"]).contains("deep"));
        caller.stage(&["revert"]);
        caller.says(
            &["--stage"],
            "echo x > f; chmod 0 f; mkdir shut; touch shut/x; printf 'a\\033[2Jb' > e; touch \"$(printf '\\033c')\"",
        );
        let shown = caller.stage(&["diff"]);
        assert!(!shown.lines().any(|line| line.starts_with("A ") && line.contains('\u{1b}')), "{shown}");
        assert!(shown.contains("A \\x1bc"), "{shown}");
        if !caller.root {
            assert!(caller.stage_fails(&["apply"]).contains("f: cannot be read"));
        }
        caller.says(&["--stage"], "chmod 0 shut; mkdir blind; touch blind/x; chmod 600 blind; echo fine > plain");
        if !caller.root {
            let stat = caller.stage(&["diff", "--stat"]);
            for path in ["shut", "blind"] {
                assert!(stat.contains(&format!("A {path}/  [refused: cannot be looked into")), "{stat}");
            }
            assert!(caller.stage_fails(&["apply", "--trust"]).contains("shut: cannot be looked into"));
        }
        // They are in nobody else's way.
        caller.stage(&["apply", "plain"]);
        caller.fills("rm plain");
        caller.stage(&["revert"]);
        assert_eq!(caller.stage(&["list"]), "");
        assert_eq!(listing(&caller.work), "");
    });
}
