//! `zviz learn`: what it writes lets the program run again, and little else.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Output;
use support::requires;

/// A program, and a command of it that may be run again and again and says the same each time.
struct Program(&'static str, &'static [&'static str]);

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program("ls", &["ls", "-l", "/usr/share"]),
    Program("grep", &["grep", "-r", "main", "src"]),
    Program("tar", &["sh", "-c", "rm -f a.tar; tar cf a.tar src && tar tf a.tar"]),
    Program("gzip", &["sh", "-c", "gzip -c src/a.c >a.gz && gzip -dc a.gz"]),
    Program("sqlite3", &["sh", "-c", "rm -f t.db; sqlite3 t.db 'create table t(x); insert into t values (1); select * from t'"]),
    Program("python3", &["python3", "script.py"]),
    Program("git", &["sh", "-c", "rm -rf r; git init -q r && cd r && echo a >a && git add a && git -c user.name=a -c user.email=a@b commit -qm m && git log --format=%s"]),
    Program("make", &["sh", "-c", "rm -f a; make -s && ./a && echo made"]),
    Program("perl", &["perl", "-MPOSIX", "-e", "print strftime('%Y', gmtime(0)), \"\\n\"; print map {\"$_\\n\"} sort glob('src/*')"]),
    Program("awk", &["sh", "-c", "printf 'b 1\\na 2\\n' | sort | sed s/1/3/ | awk '{ n += $2 } END { print n }'"]),
    Program("node", &["node", "-e", "console.log(require('fs').readdirSync('src'))"]),
    Program("openssl", &["openssl", "dgst", "-sha256", "src/a.c"]),
];

/// What the default profile shows of the host: folders.rs, SYSTEM.
const SYSTEM: &[&str] = &["/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/opt", "/sbin", "/usr"];

fn put(caller: &Caller, name: &str, text: &str) {
    let path = caller.work.join(name);
    fs::write(&path, text).unwrap();
    let (uid, gid) = caller.ids();
    chown(path, Some(uid), Some(gid)).unwrap();
}

fn project(caller: &Caller) {
    fs::create_dir(caller.work.join("src")).unwrap();
    put(caller, "src/a.c", "int main(void) { return 0; }\n");
    put(caller, "Makefile", "a: src/a.c\n\tcc -o a src/a.c\n");
    let script = "import json, os, threading
t = threading.Thread(target=lambda: print(json.dumps({'a': 1})))
t.start(); t.join()
print(sorted(os.listdir('src')))
";
    put(caller, "script.py", script);
}

fn learn(caller: &Caller, flags: &[&str], command: &[&str]) -> Output {
    let mut zviz = caller.program(caller.place.path().join("zviz"));
    zviz.arg("--root").arg(caller.state()).arg("learn").args(flags).arg("--").args(command).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The items of a list in a learned profile.
fn list(profile: &str, key: &str) -> Vec<String> {
    let lines = profile.lines().skip_while(|line| line.trim_end() != format!("  {key}:")).skip(1);
    let items = lines.take_while(|line| line.starts_with("    "));
    items.filter_map(|line| line.trim().strip_prefix("- ")).map(str::to_owned).collect()
}

/// How many files are below a path, without going through links.
fn files(path: &Path) -> u64 {
    let Ok(found) = path.symlink_metadata() else { return 0 };
    if !found.is_dir() {
        return u64::from(!found.is_symlink());
    }
    fs::read_dir(path).map_or(0, |all| all.flatten().map(|entry| files(&entry.path())).sum())
}

#[test]
fn learned_profiles_run_the_program_again_and_are_smaller_than_the_default() {
    requires!(root, program "sqlite3", program "python3", program "git", program "make", program "cc", program "perl");
    requires!(program "node", program "openssl");
    let by_default: u64 = SYSTEM.iter().map(|path| files(Path::new(path))).sum();
    for caller in Caller::both() {
        project(&caller);
        for Program(name, command) in PROGRAMS {
            // What it finds of itself is there from now on.
            let plain = caller.run(&[], command);
            assert!(plain.status.success(), "{name}: {plain:?}");
            let (first, second) = (format!("{name}.yaml"), format!("{name}-2.yaml"));
            let learned = learn(&caller, &["--check", "--output", &first], command);
            assert!(learned.status.success(), "as {}: {name}: {}", caller.name(), text(&learned));
            let profile = fs::read_to_string(caller.work.join(&first)).unwrap();
            let again = learn(&caller, &["--name", name, "--output", &second], command);
            assert!(again.status.success(), "{name}: {again:?}");
            let same = fs::read_to_string(caller.work.join(&second)).unwrap();
            assert_eq!(profile, same, "as {}: {name}: two runs come to two profiles", caller.name());
            let checked = caller.program(caller.place.path().join("zviz")).args(["profile", "check", &first]).output();
            let checked = checked.unwrap();
            assert!(checked.status.success() && checked.stdout.is_empty(), "{name}: {checked:?}");
            let under = caller.run(&["--profile", &format!("./{first}")], command);
            assert!(under.status.success(), "as {}: {name}: {under:?}\n{profile}", caller.name());
            assert_eq!(plain.stdout, under.stdout, "{name}");
            let frozen = learn(&caller, &["--frozen", &format!("./{first}")], command);
            assert!(frozen.status.success(), "as {}: {name}: {}", caller.name(), text(&frozen));

            let (_, numbers) = profile.split_once("  # ").and_then(|_| profile.split_once("syscalls:\n  # ")).unwrap();
            let numbers: Vec<usize> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).take(2).collect();
            let readonly = list(&profile, "readonly");
            let readable: u64 = readonly.iter().map(|path| files(Path::new(path))).sum();
            let written = list(&profile, "writable");
            println!(
                "{name:8} {:3} of {} calls, {readable:6} of {by_default} files of the system, {} folders to be written",
                numbers[0],
                numbers[1],
                written.len() + usize::from(profile.contains("workspace: writable"))
            );
            assert!(numbers[0] < numbers[1] / 2 && readable < by_default, "{name}");
            assert!(written.is_empty(), "{name}: {written:?}");
            for whole in ["/", "/etc", "/usr", "/home", "/root"] {
                assert!(!readonly.iter().any(|path| path == whole), "{name}: {whole}");
            }
        }
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn secrets_are_granted_to_nobody_unasked() {
    requires!(root, file "/srv");
    for caller in Caller::both() {
        let (uid, gid) = caller.ids();
        // Not below /tmp, which every sandbox has of its own.
        let folder = tempfile::tempdir_in("/srv").unwrap();
        chown(folder.path(), Some(uid), Some(gid)).unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "text\n").unwrap();
            chown(path.parent().unwrap(), Some(uid), Some(gid)).unwrap();
            chown(&path, Some(uid), Some(gid)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (key, ordinary) = (make(".ssh/id_x"), make("notes"));
        put(&caller, ".env", "TOKEN=1\n");
        // Used by way of a link of proc's, and not used at all.
        fs::create_dir_all(caller.work.join("unused/.aws")).unwrap();
        fs::create_dir(caller.work.join("keys")).unwrap();
        put(&caller, "keys/id_rsa", "key\n");
        let script = format!("cat {key} {ordinary} .env /proc/self/cwd/keys/id_rsa; read x </dev/null; true");
        let command = ["sh", "-c", &script];
        let learned = learn(&caller, &["--ro", &home, "--output", "p.yaml"], &command);
        assert!(learned.status.success(), "as {}: {}", caller.name(), text(&learned));
        let profile = fs::read_to_string(caller.work.join("p.yaml")).unwrap();
        // Nor are arguments told, where tokens are.
        assert!(profile.starts_with("# What this needed in one run: sh, with 2 arguments\n"), "{profile}");
        let granted = list(&profile, "readonly");
        assert!(granted.contains(&ordinary), "{profile}");
        assert!(!granted.iter().any(|path| Path::new(&key).starts_with(path)), "{profile}");
        assert!(profile.contains(&format!("# - {key}: ")), "{profile}");
        let hidden = [".env", "keys/id_rsa", "unused/.aws"].map(|name| caller.work.join(name).display().to_string());
        assert_eq!(list(&profile, "hidden"), hidden, "{profile}");
        assert!(profile.contains(&format!("# - {}: a secret", hidden[1])), "{profile}");
        let under = caller.run(&["--profile", "./p.yaml"], &command);
        assert_eq!(String::from_utf8_lossy(&under.stdout), "text\n", "as {}: {under:?}", caller.name());

        let asked = learn(&caller, &["--ro", &home, "--allow-secret", &key, "--output", "p.yaml"], &command);
        assert!(asked.status.success(), "{}", text(&asked));
        let profile = fs::read_to_string(caller.work.join("p.yaml")).unwrap();
        assert!(list(&profile, "readonly").contains(&key) && profile.contains("# risk: a secret"), "{profile}");
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn what_is_new_is_told_as_lines_to_add() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        put(&caller, "job.sh", "cat job.sh >/dev/null\n");
        let command = ["sh", "job.sh"];
        let learned = learn(&caller, &["--check", "--output", "job.yaml"], &command);
        assert!(learned.status.success(), "as {}: {}", caller.name(), text(&learned));
        let frozen = || learn(&caller, &["--frozen", "./job.yaml"], &command);
        let same = frozen();
        assert!(same.status.success() && same.stdout.is_empty(), "{}", text(&same));
        let script =
            "cat /etc/passwd >/dev/null; echo x >here; mkdir /tmp/x; python3 -c 'import socket; socket.socket()'";
        put(&caller, "job.sh", script);
        let new = frozen();
        assert_eq!(new.status.code(), Some(1), "as {}: {}", caller.name(), text(&new));
        let told = String::from_utf8_lossy(&new.stdout).into_owned();
        for line in [
            "--- ./job.yaml",
            " filesystem:",
            "+  workspace: writable",
            "   readonly:",
            "+    - /etc/passwd",
            "+    - /tmp",
        ] {
            assert!(told.lines().any(|other| other == line), "as {}: no {line:?}: {told}", caller.name());
        }
        assert!(text(&new).contains("does not grant all"), "{}", text(&new));
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn what_the_program_leaves_is_not_gone_through() {
    requires!(root);
    for caller in Caller::both() {
        put(&caller, "precious", "text\n");
        let scripts = [
            "ln -s precious p.yaml",
            "rm p.yaml; mkfifo p.yaml",
            "rm p.yaml; ln -s precious p.yaml",
            // Its interpreter is looked for.
            "cp /bin/true own; ./own; rm own; mkfifo own",
        ];
        for script in scripts {
            let learned = learn(&caller, &["--output", "p.yaml"], &["sh", "-c", script]);
            assert!(learned.status.success(), "as {}: {script}: {}", caller.name(), text(&learned));
            let profile = caller.work.join("p.yaml");
            assert!(profile.symlink_metadata().unwrap().is_file(), "as {}: {script}", caller.name());
            assert!(fs::read_to_string(&profile).unwrap().contains("\nschema_version: "), "{script}");
        }
        std::os::unix::fs::symlink("precious", caller.work.join("link.yaml")).unwrap();
        let refused = learn(&caller, &["--output", "link.yaml"], &["true"]);
        assert!(refused.status.code() == Some(1) && text(&refused).contains("link.yaml: "), "{}", text(&refused));
        assert_eq!(fs::read_to_string(caller.work.join("precious")).unwrap(), "text\n");
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn it_ends_as_the_command_does() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        let status = |flags: &[&str], command: &[&str]| {
            let ended = learn(&caller, flags, command);
            (ended.status.code(), text(&ended))
        };
        let sh = |script: &'static str| ["sh", "-c", script];
        let out = ["--output", "p.yaml"];
        assert_eq!(status(&out, &sh("exit 7")).0, Some(7), "as {}", caller.name());
        assert_eq!(status(&out, &sh("kill -KILL $$")).0, Some(137), "as {}", caller.name());
        assert_eq!(status(&["--output", "p.yaml", "--timeout", "1s"], &sh("sleep 60")).0, Some(124));
        assert_eq!(status(&out, &["/nonexistent"]).0, Some(127), "as {}", caller.name());
        assert_eq!(status(&out, &sh("sleep 60 & exit 3")).0, Some(3), "as {}", caller.name());
        assert_eq!(status(&["--profile", "nothing"], &sh("true")).0, Some(1), "as {}", caller.name());
        // A replay that cannot end in the same way: it finds what it left.
        let (code, said) = status(&["--check", "--output", "p.yaml"], &sh("mkdir once"));
        assert!(code == Some(1) && said.contains("it ends with 1, and not with 0"), "as {}: {said}", caller.name());
        // Held by a broker, and with other processes inside.
        let script = sh("python3 -c 'import os; print(os.uname().release)'");
        let (code, said) = status(&["--profile", "virtualised", "--output", "p.yaml"], &script);
        assert!(code == Some(0) && said.contains("6.1.0"), "as {}: {said}", caller.name());
        let observers = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let parent = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            name == "zviz-observer\n" && parent.contains("\nPPid:\t1\n")
        });
        assert_eq!(observers.count(), 0, "a tracer is left");
        assert_eq!(caller.left(), [""; 0]);
    }
}
