//! What any program may count on: ordinary tasks, all under the default profile, as root and as an ordinary user.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use support::{missing, requires, skip};

/// What it is, programs that it needs, and a script that ends well.
struct Task(&'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const TASKS: &[Task] = &[
    Task("fsync", &["python3"], "python3 -c 'import os; f = os.open(\"f\", os.O_RDWR | os.O_CREAT); os.write(f, b\"x\"); os.fsync(f); os.fdatasync(f); os.fsync(os.open(\".\", 0))'; sync f"),
    Task("rename across folders", &[], "mkdir -p a/b c; echo x > a/b/f; mv a/b/f c/g; mv a/b c/d; test -e c/g -a -d c/d; mv c /tmp/c; mv /tmp/c back; test -e back/g"),
    Task("tar with owners", &["tar"], "mkdir t; echo x > t/f; chmod 640 t/f; tar --numeric-owner -cf t.tar t; mkdir u; tar --same-owner -xpf t.tar -C u; [ \"$(stat -c %a:%u u/t/f)\" = 640:$(id -u) ]"),
    Task("flock", &["flock"], "flock lock sh -c '! flock -n lock true'; python3 -c 'import fcntl; f = open(\"lock\", \"w\"); fcntl.lockf(f, fcntl.LOCK_EX)'"),
    Task("unix sockets", &["python3"], "python3 -c '
import array, os, socket
server = socket.socket(socket.AF_UNIX); server.bind(\"s\"); server.listen()
one = socket.socket(socket.AF_UNIX); one.connect(\"s\"); other = server.accept()[0]
socket.send_fds(one, [b\"x\"], [os.open(\"/dev/null\", 0)]); assert len(socket.recv_fds(other, 9, 1)[1]) == 1
assert other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4] == os.getpid().to_bytes(4, \"little\")
name = socket.socket(socket.AF_UNIX); name.bind(b\"\\0own\")'"),
    Task("tcp and udp on loopback", &["python3"], "python3 -c '
import socket
for family, at in [(socket.AF_INET, \"127.0.0.1\"), (socket.AF_INET6, \"::1\")]:
    server = socket.socket(family); server.bind((at, 0)); server.listen()
    one = socket.create_connection(server.getsockname()[:2]); one.sendall(b\"x\"); assert server.accept()[0].recv(1) == b\"x\"
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind((\"127.0.0.1\", 0)); udp.sendto(b\"y\", udp.getsockname()); assert udp.recv(1) == b\"y\"'"),
    Task("sqlite", &["python3"], "python3 -c '
import sqlite3
base = sqlite3.connect(\"b.db\"); base.execute(\"pragma journal_mode=wal\"); base.execute(\"create table t (a)\")
base.execute(\"insert into t values (1)\"); base.commit(); assert base.execute(\"select a from t\").fetchone() == (1,)'"),
    Task("mmap", &["python3"], "python3 -c '
import mmap, os
f = open(\"f\", \"w+b\"); f.truncate(8192); m = mmap.mmap(f.fileno(), 0); m[4096:4098] = b\"ok\"; m.flush()
assert open(\"f\", \"rb\").read()[4096:4098] == b\"ok\"
shared = mmap.mmap(-1, 4096)
if os.fork() == 0: shared[:1] = b\"x\"; os._exit(0)
os.wait(); assert shared[:1] == b\"x\"'"),
    Task("inotify", &["python3"], "python3 -c '
import ctypes, os
c = ctypes.CDLL(None); f = c.inotify_init1(0); assert c.inotify_add_watch(f, b\".\", 0x100) > 0
open(\"made\", \"w\"); assert b\"made\" in os.read(f, 4096)'"),
    Task("pty", &["python3"], "python3 -c '
import os, pty
said = []
def read(fd):
    data = os.read(fd, 999); said.append(data); return data
assert pty.spawn([\"sh\", \"-c\", \"test -t 0 && stty size && echo a terminal\"], read) == 0
assert b\"a terminal\" in b\"\".join(said), said'"),
    Task("pipes", &["python3"], "yes | head -n 100000 | wc -l | grep -qx 100000; mkfifo p; (echo x > p) & read -r word < p; [ \"$word\" = x ]
        python3 -c 'import fcntl, os; r, w = os.pipe(); assert fcntl.fcntl(w, 1031, 1 << 20) >= 1 << 20'"),
    Task("signals", &["python3"], "python3 -c '
import os, signal, time
seen = []
for number in [signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD]: signal.signal(number, lambda n, _: seen.append(n))
os.kill(os.getpid(), signal.SIGUSR1); signal.setitimer(signal.ITIMER_REAL, 0)
child = os.fork()
if child == 0: os.kill(os.getppid(), signal.SIGTERM); os._exit(0)
os.waitpid(child, 0); time.sleep(0.01); assert set(seen) == {10, 15, 17}, seen
child = os.fork()
if child == 0: time.sleep(60)
os.kill(child, signal.SIGSTOP); assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]); os.kill(child, 9); os.waitpid(child, 0)'"),
    Task("locale", &["python3"], "LC_ALL=C.UTF-8 python3 -c 'import locale; locale.setlocale(locale.LC_ALL, \"\"); print(\"\\u00e4\\u4e16\")' | grep -q .; printf 'b\\na\\n' | LC_ALL=C.UTF-8 sort | head -n 1 | grep -qx a"),
    Task("a name that is not found", &["python3"], "python3 -c '
import socket
assert socket.gethostbyname(\"localhost\") == \"127.0.0.1\"
try: socket.getaddrinfo(\"no-such-host.invalid\", 80)
except socket.gaierror: pass
else: exit(1)'"),
    Task("semaphores in /dev/shm", &["python3"], "python3 -c '
import multiprocessing as m, multiprocessing.shared_memory as s
lock = m.Semaphore(1); assert lock.acquire(timeout=5); lock.release()
part = s.SharedMemory(create=True, size=99); part.buf[0] = 7; same = s.SharedMemory(part.name); assert same.buf[0] == 7; same.close(); part.unlink()'"),
    Task("message queues", &["python3"], "python3 -c '
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
q = c.mq_open(b\"/own\", os.O_RDWR | os.O_CREAT, 0o600, None); assert q >= 0, ctypes.get_errno()
assert c.mq_send(q, b\"x\", 1, 0) == 0; room = ctypes.create_string_buffer(8192); assert c.mq_receive(q, room, 8192, None) == 1 and room.raw[:1] == b\"x\"
c.mq_unlink(b\"/own\")
q = c.msgget(1, 0o1600); assert q >= 0 and c.semget(1, 1, 0o1600) >= 0 and c.shmget(1, 4096, 0o1600) >= 0'"),
    Task("python's multiprocessing", &["python3"], "printf 'import multiprocessing as m\\nif __name__ == \"__main__\":\\n    for kind in [\"fork\", \"spawn\", \"forkserver\"]:\\n        with m.get_context(kind).Pool(3) as pool: assert pool.map(abs, [-1, 2, -3]) == [1, 2, 3]\\n' > m.py; python3 m.py"),
    Task("git clone", &["git"], "git init -q o; git -C o -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m one; git clone -q o c; git clone -q file://$PWD/o d; git -C d log --format=%s | grep -qx one"),
    Task("ssh-keygen", &["ssh-keygen"], "ssh-keygen -q -t ed25519 -N '' -f key -C own; ssh-keygen -l -f key.pub | grep -q ED25519"),
    Task("gpg", &["gpg"], "gpg --version | grep -q '^gpg'; mkdir -m 700 -p ~/.gnupg; gpg -q --batch --passphrase '' --quick-gen-key own@example.org 2> log || { cat log; exit 1; }; echo x | gpg -q --clearsign | gpg -q --verify 2> /dev/null; gpgconf --kill all"),
    Task("find and xargs", &["find", "xargs"], "mkdir -p a/b/c; for i in 1 2 3; do echo $i > a/b/c/$i; done; find a -type f -newermt 2000-01-01 -print0 | xargs -0 -n 1 -P 3 cat | sort | tr '\\n' ' ' | grep -qx '1 2 3 '; find /usr/bin -maxdepth 1 -name sh | grep -q ."),
    Task("sort of a large file", &["sort"], "seq 300000 | tac > big; sort -n -S 1M --parallel=2 big -o sorted; head -n 1 sorted | grep -qx 1; [ \"$(wc -l < sorted)\" = 300000 ]"),
    Task("sleep and timers", &["python3", "timeout"], "sleep 0.05; timeout 0.1 sleep 9 || [ $? = 124 ]; python3 -c '
import select, signal, time
began = time.monotonic(); signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
select.select([], [], [], 0.05); assert 0.09 < time.monotonic() - began < 9'"),
    Task("daemons", &["setsid", "python3"], "setsid sh -c 'echo $$ > session; cut -d \" \" -f 6 /proc/$$/stat > own'; cmp session own; python3 -c '
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir(\"/\"); os.umask(0); os.close(0); open(os.environ[\"PWD\"] + \"/daemon\", \"w\").write(\"x\")
    os._exit(0)
os.wait()
while not os.path.exists(\"daemon\"): time.sleep(0.01)'; nohup true > /dev/null 2>&1"),
    Task("strace of a child", &["strace"], "strace -f -o log sh -c 'true | cat'; grep -q execve log"),
    Task("a storm of forks", &["perl"], "perl -e 'for (1 .. 100) { my $p = fork; die unless defined $p; if (!$p) { exit 0 } } my $n = 0; $n++ while wait > 0; die $n unless $n == 100'"),
    Task("long and odd names", &["python3"], "python3 -c '
import os
long = \"n\" * 255; os.mkdir(long); os.chdir(long)
for _ in range(20): os.mkdir(long); os.chdir(long)
open(\"f\", \"w\"); assert len(os.getcwd()) > 5000
os.chdir(os.environ[\"PWD\"])
for name in [\"\\u00e4\\u4e16\\U0001f600\", \"a b\\n\\t*?\", \"-rf\", \"\\\\\", \" \"]:
    open(\"./\" + name, \"w\").write(\"x\"); assert name in os.listdir(\".\")
open(b\"\\xff\\xfe\", \"w\"); assert b\"\\xff\\xfe\" in os.listdir(b\".\")'"),
    Task("threads and futexes", &["python3"], "python3 -c '
import threading
go, n = threading.Barrier(50), []
threads = [threading.Thread(target=lambda: (go.wait(), n.append(1))) for _ in range(50)]
[t.start() for t in threads]; [t.join() for t in threads]; assert len(n) == 50'"),
    Task("extended attributes, links and modes", &["python3"], "python3 -c '
import os
open(\"f\", \"w\"); os.link(\"f\", \"g\"); os.symlink(\"f\", \"h\"); os.chmod(\"f\", 0o4755); os.utime(\"f\", (1, 1)); os.truncate(\"f\", 9)
assert os.stat(\"h\").st_nlink == 2 and os.stat(\"g\").st_mtime != 1
try: os.setxattr(\"f\", \"user.a\", b\"b\"); assert os.getxattr(\"g\", \"user.a\") == b\"b\"
except OSError as e: assert e.errno == 95
with os.scandir(\".\") as entries: assert {e.name for e in entries} == {\"f\", \"g\", \"h\"}'"),
];

#[test]
fn ordinary_tasks() {
    requires!(root);
    let mut failed = Vec::new();
    for caller in Caller::both() {
        for Task(name, needs, script) in TASKS {
            if let Some(missing) = missing(needs) {
                skip(&format!("ordinary_tasks::{name}"), &format!("{missing} is not installed"));
                continue;
            }
            let output = caller.run(&["--profile", "default"], &["sh", "-euc", script]);
            if !output.status.success() {
                failed.push(format!("as {}: {name}: {output:?}", caller.name()));
            }
            assert_eq!(caller.left(), [""; 0], "{name}");
            // Too deep a folder to be named at once is in the way of std's own.
            let done = std::process::Command::new("find")
                .arg(&caller.work)
                .args(["-mindepth", "1", "-delete"])
                .status()
                .unwrap();
            assert!(done.success(), "{name}");
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Logs are often links to /dev/stdout. Pipes are the caller's, whose id is nobody's inside where root calls.
#[test]
fn a_standard_stream_that_is_a_pipe_can_be_opened_again() {
    requires!(root);
    for caller in Caller::both() {
        let limited = caller.work.join("limited.yaml");
        std::fs::write(&limited, "extends: default\nresources: {output_max: 1M}\n").unwrap();
        for profile in ["default", limited.to_str().unwrap()] {
            // Who is not its owner may not take out of it what others have put in.
            let takes = if caller.root { "head -c 1 </dev/stdout" } else { "echo Permission denied" };
            let inside = format!("cat /dev/stdin; echo out >/dev/stdout; echo err >/proc/self/fd/2; {takes}");
            let script = format!(
                "echo in | {{ {}/zviz --root {} run --profile {profile} -- timeout 5 sh -c '{inside}' 2>&1; }} | cat",
                caller.place.path().display(),
                caller.state().display(),
            );
            let output = caller.program("sh").args(["-c", &script]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            // Output and error are apart on their way where they are measured.
            let all = ["in", "out", "err"].iter().all(|word| said.lines().any(|line| line == *word));
            let all = all && said.contains("Permission denied");
            assert!(all, "as {}, {profile}: {said}", caller.name());
        }
    }
}
