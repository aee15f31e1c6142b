//! The built-in profiles: each runs the programs that it is named for, and takes away what it says, as root and as an
//! ordinary user. The scripts are in `built_in/` and `programs/`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "built_in/attack.rs"]
mod attack;
mod callers;
#[path = "built_in/program.rs"]
mod program;
mod support;

use attack::{Attack, all_fail, all_fail_in};
use program::{AS_SOMEBODY, Program, all_run, cargo};

#[test]
fn minimal() {
    all_run(
        "minimal",
        &[
            Program("shell", &["sh"], include_str!("built_in/shell.sh"), &[]),
            Program(
                "static",
                &["busybox"],
                "/bin/busybox sh -c 'echo $((6 * 7)) | /bin/busybox grep -qx 42'; echo done",
                &[],
            ),
            Program("coreutils", &["tar", "flock", "mkfifo"], include_str!("programs/coreutils.sh"), &[]),
        ],
    );
    all_fail(
        "minimal",
        &[
            Attack::SOCKET,
            Attack::OTHER_PROCESS,
            Attack::HOST_SETTINGS,
            Attack::NO_FOLDER,
            Attack("become somebody", &[], "python3 -c 'import os; os.setuid(os.getuid())'"),
            Attack("write elsewhere", &[], "echo > /var/tmp/a"),
            Attack("many open files", &[], "python3 -c 'import os; [os.dup(0) for i in range(1100)]'"),
            Attack("fill memory by files", &[], "head -c 300M /dev/zero > /tmp/a"),
        ],
    );
}

#[test]
fn ci_runner() {
    all_run(
        "ci-runner",
        &[
            Program("npm", &["npm"], include_str!("built_in/npm.sh"), &[]),
            Program("node", &["node"], include_str!("built_in/node_package.sh"), &[]),
            Program("pip", &["python3"], include_str!("built_in/pip.sh"), &[]),
            Program("go", &["go"], include_str!("built_in/go.sh"), &[]),
            Program("make", &["gcc", "make"], include_str!("programs/gcc.sh"), &[]),
            Program("git", &["git"], include_str!("programs/git.sh"), &[]),
            Program("python", &["python3"], include_str!("programs/python.sh"), &[]),
            Program("redis", &["redis-server"], include_str!("programs/redis.sh"), &[]),
        ],
    );
    cargo("ci-runner");
    all_fail(
        "ci-runner",
        &[
            Attack::OTHER_PROCESS,
            Attack::OTHER_MEMORY,
            Attack::CREDENTIALS,
            Attack::MAIL,
            Attack("a file beyond all bounds", &[], "truncate -s 40G f"),
        ],
    );
}

#[test]
fn web_server() {
    all_run("web-server", &[
        Program("nginx", &["nginx", "python3"], include_str!("built_in/nginx_load.sh"), AS_SOMEBODY),
        Program("node", &["node", "python3"], include_str!("built_in/node_load.sh"), &[]),
        Program("python", &["python3"], "python3 -m http.server -b 127.0.0.1 7014 2> /dev/null &
            for try in $(seq 100); do python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:7014/\")' 2> /dev/null && break; sleep 0.1; done
            kill $!; [ $try != 100 ]; echo done", &[]),
    ]);
    all_fail(
        "web-server",
        &[
            Attack::OTHER_PROCESS,
            Attack::CREDENTIALS,
            Attack::MAIL,
            Attack::UPLOADED,
            Attack::UPLOADED_MAPPED,
            Attack::KERNEL_TALK,
            Attack(
                "shared memory of other programs",
                &[],
                "python3 -c 'import ctypes; exit(ctypes.CDLL(None).shmget(0, 4096, 0o1600) < 0)'",
            ),
        ],
    );
}

#[test]
fn hostile_tenant() {
    let compiled =
        "printf '#include <stdio.h>\\nint main(void) { puts(\"hello\"); return 0; }\\n' > m.c; gcc -O2 -o m m.c";
    all_run(
        "hostile-tenant",
        &[
            Program("python", &["python3"], include_str!("built_in/compute.sh"), &[]),
            Program(
                "perl",
                &["perl"],
                "perl -we 'my $n = 0; $n += $_ for 1 .. 1000; die unless $n == 500500; open my $f, \">\", \"f\" or die; print $f $n; close $f; print \"done\\n\"'",
                &[],
            ),
            Program("shell", &["sh"], include_str!("built_in/shell.sh"), &[]),
            Program(
                "node",
                &["node"],
                "node -e 'let n = 0; for (let i = 0; i < 1e6; i++) n += i; if (n !== 499999500000) throw 1; console.log(\"done\")'",
                &[],
            ),
        ],
    );
    program::compiled("hostile-tenant", compiled);
    all_fail(
        "hostile-tenant",
        &[
            Attack::INTERNET_SOCKET,
            Attack::KERNEL_TALK,
            Attack::OTHER_PROCESS,
            Attack::OTHER_MEMORY,
            Attack::HOST_SETTINGS,
            Attack::UPLOADED,
            Attack::UPLOADED_MAPPED,
            Attack::NO_FOLDER,
            Attack("become somebody", &[], "python3 -c 'import os; os.setuid(os.getuid())'"),
            Attack(
                "lock memory",
                &[],
                "python3 -c 'import ctypes; exit(ctypes.CDLL(None).mlock(ctypes.create_string_buffer(9), 9) < 0)'",
            ),
            Attack(
                "write out everybody's files",
                &[],
                "python3 -c 'import os, ctypes; exit(ctypes.CDLL(None, use_errno=True).syncfs(0) < 0)'",
            ),
            Attack("fill the disk", &[], "head -c 300M /dev/zero > f"),
            Attack("fill memory by files", &[], "head -c 100M /dev/zero > /tmp/a"),
            Attack("many open files", &[], "python3 -c 'import os; [os.dup(0) for i in range(300)]'"),
            Attack("fill memory", &[], "python3 -c 'bytearray(700 << 20)'"),
            Attack(
                "fork",
                &[],
                "python3 -c 'import os, time\nfor i in range(100):\n  if os.fork() == 0: time.sleep(3); os._exit(0)'",
            ),
        ],
    );
}

#[test]
fn database() {
    all_run(
        "database",
        &[
            Program("postgres", needs_postgres(), include_str!("programs/postgres.sh"), AS_SOMEBODY),
            Program("redis", &["redis-server"], include_str!("programs/redis.sh"), &[]),
            Program("sqlite", &["python3"], include_str!("built_in/sqlite.sh"), &[]),
        ],
    );
    all_fail(
        "database",
        &[
            Attack::OTHER_PROCESS,
            Attack::UPLOADED,
            Attack::UPLOADED_MAPPED,
            Attack::NO_FOLDER,
            Attack::KERNEL_TALK,
            Attack(
                "call somebody",
                &[],
                "python3 -c '
import errno, socket
way = socket.socket(); way.settimeout(2)
try: way.connect((\"192.0.2.1\", 80))
except TimeoutError: pass
except OSError as e: exit(e.errno in [errno.EACCES, errno.EPERM])'",
            ),
        ],
    );
}

#[test]
fn batch_job() {
    all_run(
        "batch-job",
        &[
            Program("python", &["python3"], include_str!("built_in/compute.sh"), &[]),
            Program("convert", &["identify"], include_str!("built_in/convert.sh"), &[]),
            Program("ffmpeg", &["ffmpeg"], include_str!("built_in/ffmpeg.sh"), &[]),
        ],
    );
    all_fail(
        "batch-job",
        &[
            Attack("the host's network", &["--net", "host"], "test $(grep -c : /proc/net/dev) -gt 1"),
            Attack::INTERNET_SOCKET,
            Attack::OTHER_PROCESS,
            Attack::UPLOADED,
            Attack::UPLOADED_MAPPED,
            Attack("a file beyond all bounds", &[], "truncate -s 80G f"),
        ],
    );
}

#[test]
fn development() {
    all_run(
        "development",
        &[
            Program("gcc", &["gcc", "make"], include_str!("programs/gcc.sh"), &[]),
            Program("gdb", &["gdb", "gcc"], include_str!("built_in/gdb.sh"), &[]),
            Program("strace", &["strace"], "strace -f -o log sh -c 'true | cat'; grep -q execve log; echo done", &[]),
            Program("git", &["git"], include_str!("programs/git.sh"), &[]),
            Program("python", &["python3"], include_str!("programs/python.sh"), &[]),
            Program("perl", &["perl"], include_str!("programs/perl.sh"), &[]),
            Program("node", &["node"], include_str!("programs/node.sh"), &[]),
            Program("go", &["go"], include_str!("built_in/go.sh"), &[]),
            Program("postgres", needs_postgres(), include_str!("programs/postgres.sh"), AS_SOMEBODY),
        ],
    );
    cargo("development");
    all_fail(
        "development",
        &[
            Attack::CREDENTIALS,
            Attack::MAIL,
            Attack("a file beyond all bounds", &[], "truncate -s 80G f"),
            Attack::DOCKER,
        ],
    );
}

#[test]
fn agent() {
    all_run(
        "agent",
        &[
            Program("session", &["git", "python3"], include_str!("built_in/session.sh"), &[]),
            Program("shell", &["sh"], include_str!("built_in/shell.sh"), &[]),
            Program("make", &["gcc", "make"], include_str!("programs/gcc.sh"), &[]),
            Program("python", &["python3"], include_str!("programs/python.sh"), &[]),
            Program("node", &["node"], include_str!("built_in/node_package.sh"), &[]),
            Program("npm", &["npm"], include_str!("built_in/npm.sh"), &[]),
            Program("pip", &["python3"], include_str!("built_in/pip.sh"), &[]),
        ],
    );
    cargo("agent");
    all_fail_in(
        "agent",
        "mkdir -p .git/hooks .git/worktrees/w .git/modules/m w; touch .git/config; echo 'gitdir: ../.git/worktrees/w' > w/.git",
        &[
            Attack("write a hook", &[], "echo x > .git/hooks/pre-commit"),
            Attack("move a hook there", &[], "echo x > f; mv f .git/hooks/pre-commit"),
            Attack("link a hook", &[], "echo x > f; ln f .git/hooks/pre-commit"),
            Attack("link a hook to be", &[], "echo x > f; ln -s ../../f .git/hooks/pre-commit"),
            Attack("link another folder of hooks", &[], "mkdir d; rmdir .git/hooks; ln -s ../d .git/hooks"),
            Attack("name another editor", &[], "echo x > .git/config"),
            Attack("name settings elsewhere", &[], "echo ../evil > .git/commondir"),
            Attack("move the name of settings elsewhere", &[], "echo ../evil > f; mv f .git/commondir"),
            Attack("name a worktree's settings elsewhere", &[], "echo ../../../evil > .git/worktrees/w/commondir"),
            Attack("name a module's settings elsewhere", &[], "echo ../../../evil > .git/modules/m/commondir"),
            Attack("name another repository", &[], "echo 'gitdir: ../evil' > w/.git"),
            Attack("put another repository in its place", &[], "mv .git d; mkdir .git"),
        ],
    );
    all_fail(
        "agent",
        &[
            Attack("make a file that names a repository", &[], "mkdir d; echo 'gitdir: ../evil' > d/.git"),
            Attack(
                "make another repository and move it",
                &[],
                "mkdir -p d/hooks; echo x > d/hooks/pre-commit; mv d .git",
            ),
            Attack("link another repository", &[], "mkdir -p d/hooks; echo x > d/hooks/pre-commit; ln -s d .git"),
            Attack("write a start-up file", &[], "echo x > .bashrc"),
            Attack("write an editor's task", &[], "mkdir -p .vscode; echo x > .vscode/tasks.json"),
            Attack("move an editor's tasks", &[], "mkdir d; echo x > d/tasks.json; mv d .vscode"),
            Attack(
                "unpack an editor's tasks",
                &[],
                "mkdir -p d/.vscode; python3 -c '
import os, tarfile
t = tarfile.open(\"t.tar\", \"w\"); open(\"f\", \"w\"); t.add(\"f\", \".vscode/tasks.json\"); t.close()'; tar xf t.tar",
            ),
            Attack::OTHER_PROCESS,
            Attack::CREDENTIALS,
            Attack::MAIL,
        ],
    );
}

/// A bare repository has no name that a rule could be about (docs/profiles.md): git's own setting passes it by.
#[test]
fn bare_repositories_are_left_to_git() {
    support::requires!(root, program "git");
    for caller in callers::Caller::both() {
        let script = "mkdir -p d/objects d/refs; echo 'ref: refs/heads/main' > d/HEAD; echo '[core] bare = true
            sshCommand = touch ran;
            [remote \"origin\"] url = ssh://nowhere/x' > d/config";
        caller.says(&["--profile", "agent"], script);
        let fetch = |settings: &[&str]| {
            let ran = caller.work.join("d/ran");
            let _ = std::fs::remove_file(&ran);
            let done = caller.program("git").args(["-C", "d"]).args(settings).arg("fetch").output().unwrap();
            (ran.exists(), String::from_utf8_lossy(&done.stderr).into_owned())
        };
        // The control: whoever stands there and calls git runs what the repository says.
        let (ran, error) = fetch(&[]);
        assert!(ran, "as {}: {error}", caller.name());
        let (ran, error) = fetch(&["-c", "safe.bareRepository=explicit"]);
        assert!(!ran && error.contains("safe.bareRepository"), "as {}: {error}", caller.name());
    }
}

/// It is not among the programs on a path.
fn needs_postgres() -> &'static [&'static str] {
    if std::path::Path::new("/usr/lib/postgresql").is_dir() { &[] } else { &["postgres"] }
}
