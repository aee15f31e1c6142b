//! A hand that answers opens by itself: where there is one, where there is none, and what holds it up.

use super::callers::Caller;
use super::parts::{Broker, Process, until};
use super::{as_root, each, support::skip};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// A profile with a rule about files and nothing else for the broker, and more words.
fn profile(caller: &Caller, more: &str) -> String {
    let path = caller.work.join("own.yaml");
    let text = format!("name: own\nextends: default\nfilesystem: {{patterns: {{deny_read: ['*.secret']}}}}\n{more}");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (user, group) = caller.ids();
    std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A folder that both sides have, at the same path.
fn shared(caller: &Caller) -> String {
    let folder = caller.work.join("shared");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    for name in ["file", "slow", "own.secret"] {
        fs::write(folder.join(name), name).unwrap();
    }
    for (name, mode) in [("", 0o777), ("file", 0o666), ("slow", 0o666), ("own.secret", 0o666)] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// What programs inside begin with. `go` waits for a line from outside.
const BEGIN: &str = "
import ctypes, errno, fcntl, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def say(*words): print(*words, flush=True)
def go(): assert sys.stdin.readline(), 'nobody there'
def read(path):
    try:
        with open(path) as file: return file.read()
    except OSError as error: return errno.errorcode[error.errno]
def right():
    for _ in range(20):
        assert (read('file'), read('own.secret'), read('none')) == ('file', 'EACCES', 'ENOENT')
    return 'right'
say(right())
";

/// A program in a sandbox, which has opened files already.
struct Inside {
    zviz: Child,
    lines: Receiver<String>,
    stdin: ChildStdin,
    folder: String,
}

impl Inside {
    fn new(caller: &Caller, flags: &[&str], more: &str, script: &str) -> Inside {
        let (profile, folder) = (profile(caller, more), shared(caller));
        let share = format!("{folder}:{folder}");
        let flags = [&["--profile", &profile, "--rw", &share, "--cwd", &folder], flags].concat();
        let mut zviz = caller.sandbox(&flags, &["python3", "-c", &format!("{BEGIN}{script}")]);
        let mut zviz = zviz.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (give, lines) = channel();
        let (stdin, stdout) = (zviz.stdin.take().unwrap(), zviz.stdout.take().unwrap());
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(give.send(line)))
        });
        let mut inside = Inside { zviz, lines, stdin, folder };
        inside.says("right");
        inside
    }

    #[track_caller]
    fn hears(&mut self, patience: Duration) -> String {
        self.lines.recv_timeout(patience).unwrap_or_else(|error| panic!("nothing within {patience:?}: {error}"))
    }

    #[track_caller]
    fn says(&mut self, what: &str) {
        assert_eq!(self.hears(SOON), what);
    }

    /// Lets it go on.
    fn go(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
    }

    /// The hand that answers by itself: it has a second thread.
    fn alone(&self) -> Option<Process> {
        let broker = Broker::wait_for(&self.zviz);
        let threads = |hand: &Process| fs::read_dir(format!("/proc/{}/task", hand.pid)).map_or(0, Iterator::count);
        broker.crew.into_iter().find(|hand| threads(hand) == 2)
    }

    /// It ends well.
    fn ends(mut self) {
        drop(self.stdin);
        assert!(self.zviz.wait().unwrap().success());
    }
}

/// A program of the host that ends with its test.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_hand_answers_where_nobody_can_be_another() {
    each("one_hand_answers_where_nobody_can_be_another", &["python3"], |caller| {
        let tries = "
go()
tried = [libc.setresuid(1, 1, 1), libc.setresgid(1, 1, 1), libc.chroot(b'/tmp'), libc.unshare(0x10000000)]
say(tried, right())
go()";
        let mut inside = Inside::new(caller, &[], "", tries);
        assert!(inside.alone().is_some(), "as {}: nobody answers alone", caller.name());
        inside.go();
        inside.says("[-1, -1, -1, -1] right");
        inside.go();
        inside.ends();
        // Where somebody is told of what is opened, the filter lets somebody make namespaces, or somebody may have a capability.
        let log = caller.work.join("log").to_str().unwrap().to_owned();
        for (flags, more) in [
            (&["--audit", &log][..], ""),
            (&[], "syscalls: {allow: [clone3]}\n"),
            (&[], "syscalls: {allow: [setns]}\n"),
            (&[], "capabilities: {keep: [CAP_SETUID]}\n"),
        ] {
            let mut inside = Inside::new(caller, flags, more, "go()\nsay(right())");
            assert!(inside.alone().is_none(), "as {}: {flags:?} {more}", caller.name());
            inside.go();
            inside.says("right");
            inside.ends();
        }
    });
}

/// Whoever is executed with a capability has a broker of its own, which asks of each call whose it is.
#[test]
fn whoever_changes_ids_is_judged_by_them() {
    as_root("whoever_changes_ids_is_judged_by_them", &["python3"], |caller| {
        let id = format!("changes-{}", std::process::id());
        let mut inside = Inside::new(caller, &["--id", &id], "capabilities: {keep: [CAP_SETUID]}\n", "go()");
        let own = format!("{}/own", inside.folder);
        let script = format!(
            "{BEGIN}
os.umask(0o077)
with open('own', 'w') as file: file.write('own')
os.setresuid(-1, 12, -1)
say(read('own'), read('file'))
os.setresuid(-1, 0, -1)
say(read('own'), right())"
        );
        let mut exec = caller.program(caller.place.path().join("zviz"));
        exec.arg("--root").arg(caller.state());
        exec.args([
            "exec",
            "--cap",
            "CAP_SETUID",
            "--user",
            "0",
            "--cwd",
            &inside.folder,
            &id,
            "python3",
            "-c",
            &script,
        ]);
        let output = exec.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(out, "right\nEACCES file\nown right\n", "{output:?}");
        assert!(fs::exists(own).unwrap());
        inside.go();
        inside.ends();
    });
}

#[test]
fn whoever_cannot_be_read_is_served_by_others() {
    each("whoever_cannot_be_read_is_served_by_others", &["python3"], |caller| {
        let script = "
go()
libc.prctl(4, 0)
say(right())
go()
libc.prctl(4, 1)
say(right())";
        let mut inside = Inside::new(caller, &[], "", script);
        assert!(inside.alone().is_some(), "as {}: the control", caller.name());
        inside.go();
        inside.says("right");
        until("it has left", SOON, || inside.alone().is_none().then_some(()));
        inside.go();
        inside.says("right");
        inside.ends();
    });
}

/// Who is asked before a file is opened, and answers after this time, if ever. fanotify(7).
fn asked_about(file: &str, answers: Option<Duration>) -> Listener {
    const LISTENER: &str = "
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
OPEN_PERM, ALLOW = 0x10000, 1
fd = libc.fanotify_init(4 | 1, os.O_RDONLY)
assert fd >= 0 and libc.fanotify_mark(fd, 1, ctypes.c_uint64(OPEN_PERM), -100, sys.argv[1].encode()) == 0
print('ready', flush=True)
if len(sys.argv) == 2: time.sleep(1000)
while True:
    for event in struct.iter_unpack('=IBBHQii', os.read(fd, 24)):
        time.sleep(float(sys.argv[2]))
        os.write(fd, struct.pack('=iI', event[5], ALLOW))
        os.close(event[5])
";
    let mut listener = Command::new("python3");
    listener.args(["-c", LISTENER, file]).args(answers.map(|time| time.as_secs_f64().to_string()));
    let mut listener = Listener(listener.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(listener.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    listener
}

/// Opens what takes long, and other files meanwhile.
const SLOW: &str = "
def slow():
    began = time.monotonic()
    say('slow', read('slow'), round(time.monotonic() - began, 1))
go()
thread = threading.Thread(target=slow)
thread.start()
time.sleep(0.02)
began = time.monotonic()
say(right(), time.monotonic() - began < 0.5)
thread.join()
go()
say(right())
go()
";

/// What a program says of a slow file: what it read, and how long that took.
fn slow(inside: &mut Inside) -> (String, f64) {
    let line = inside.hears(SOON);
    let words: Vec<&str> = line.split(' ').collect();
    let ["slow", what, time] = words[..] else { panic!("{line}") };
    (what.to_owned(), time.parse().unwrap())
}

#[test]
fn what_takes_long_holds_up_nobody() {
    as_root("what_takes_long_holds_up_nobody", &["python3"], |caller| {
        let mut inside = Inside::new(caller, &[], "", SLOW);
        let before = inside.alone().expect("one that answers alone").pid;
        let listener = asked_about(&format!("{}/slow", inside.folder), Some(Duration::from_millis(800)));
        inside.go();
        inside.says("right True");
        let (what, time) = slow(&mut inside);
        assert!(what == "slow" && (0.7..1.8).contains(&time), "{what} {time}");
        drop(listener);
        // The same answers again, after a while.
        std::thread::sleep(Duration::from_millis(1500));
        inside.go();
        inside.says("right");
        assert_eq!(inside.alone().map(|hand| hand.pid), Some(before));
        inside.go();
        inside.ends();
    });
}

#[test]
fn what_takes_for_ever_fails() {
    as_root("what_takes_for_ever_fails", &["python3"], |caller| {
        for (more, patience) in [("", 1.8..3.0), ("broker: {timeout_ms: 500}\n", 0.4..1.5)] {
            let mut inside = Inside::new(caller, &[], more, SLOW);
            let before = inside.alone().expect("one that answers alone").pid;
            let listener = asked_about(&format!("{}/slow", inside.folder), None);
            inside.go();
            inside.says("right True");
            let (what, time) = slow(&mut inside);
            assert!(what == "ETIMEDOUT" && patience.contains(&time), "{more:?}: {what} {time}");
            // Right in its end, looking for it gives ESRCH.
            until("it is gone", SOON, || (!fs::exists(format!("/proc/{before}/fd")).unwrap_or(false)).then_some(()));
            inside.go();
            inside.says("right");
            assert!(inside.alone().is_none());
            drop(listener);
            inside.go();
            inside.ends();
        }
    });
}

#[test]
fn whoever_is_killed_while_it_waits_leaves_nothing() {
    const SCRIPT: &str = "
go()
child = os.fork()
if child == 0:
    read('slow')
    os._exit(0)
time.sleep(0.5)
os.kill(child, signal.SIGKILL)
began = time.monotonic()
_, status = os.waitpid(child, 0)
say(os.WTERMSIG(status), time.monotonic() - began < 1, right())
go()
say(right())
go()";
    as_root("whoever_is_killed_while_it_waits_leaves_nothing", &["python3"], |caller| {
        let mut inside = Inside::new(caller, &[], "", SCRIPT);
        let before = inside.alone().expect("one that answers alone").pid;
        let _listener = asked_about(&format!("{}/slow", inside.folder), None);
        inside.go();
        inside.says("9 True right");
        // Right in its end, looking for it gives ESRCH.
        until("it is gone", SOON, || (!fs::exists(format!("/proc/{before}/fd")).unwrap_or(false)).then_some(()));
        inside.go();
        inside.says("right");
        inside.go();
        inside.ends();
    });
}

/// fcntl(2), F_SETLEASE: whoever opens waits for the holder.
#[test]
fn whoever_holds_a_lease_holds_up_nobody() {
    const SCRIPT: &str = "
F_SETLEASE, F_WRLCK, F_UNLCK = 1024, 1, 2
asked = threading.Event()
signal.signal(signal.SIGIO, lambda *_: asked.set())
holder = os.open('leased', os.O_CREAT | os.O_RDWR, 0o600)
os.write(holder, b'leased')
fcntl.fcntl(holder, F_SETLEASE, F_WRLCK)
def reads():
    began = time.monotonic()
    say(read('leased'), 0.5 < time.monotonic() - began < 1.5)
thread = threading.Thread(target=reads)
thread.start()
while not asked.is_set(): time.sleep(0.01)
began = time.monotonic()
say(right(), time.monotonic() - began < 0.5)
time.sleep(0.7)
fcntl.fcntl(holder, F_SETLEASE, F_UNLCK)
thread.join()
go()
say(right())";
    each("whoever_holds_a_lease_holds_up_nobody", &["python3"], |caller| {
        let mut inside = Inside::new(caller, &[], "", SCRIPT);
        inside.says("right True");
        inside.says("leased True");
        assert!(inside.alone().is_some(), "as {}: the control", caller.name());
        inside.go();
        inside.says("right");
        inside.ends();
    });
}

#[test]
fn whoever_waits_for_a_fifo_can_be_paused() {
    const TEST: &str = "whoever_waits_for_a_fifo_can_be_paused";
    const SCRIPT: &str = "
os.mkfifo('fifo')
thread = threading.Thread(target=lambda: say(read('fifo')))
thread.start()
time.sleep(0.3)
say('waits', right())
thread.join()
say(right())";
    each(TEST, &["python3"], |caller| {
        let id = format!("fifo-{}", std::process::id());
        let mut inside = Inside::new(caller, &["--id", &id], "", SCRIPT);
        inside.says("waits right");
        assert!(inside.alone().is_some(), "as {}: the control", caller.name());
        let zviz = |arguments: &[&str]| {
            let mut zviz = caller.program(caller.place.path().join("zviz"));
            zviz.arg("--root").arg(caller.state()).args(arguments).output().unwrap()
        };
        let started = Instant::now();
        let paused = zviz(&["pause", &id]);
        if paused.status.success() {
            assert!(started.elapsed() < Duration::from_secs(8), "as {}: {:?}", caller.name(), started.elapsed());
            assert!(String::from_utf8(zviz(&["state", &id]).stdout).unwrap().contains("paused"));
            assert!(zviz(&["resume", &id]).status.success());
        } else {
            let said = String::from_utf8_lossy(&paused.stderr).into_owned();
            assert!(said.contains("no cgroup"), "as {}: {said}", caller.name());
            skip(TEST, &format!("as {}: {}", caller.name(), said.trim()));
        }
        fs::write(format!("{}/fifo", inside.folder), "by fifo").unwrap();
        inside.says("by fifo");
        inside.says("right");
        inside.ends();
    });
}

#[test]
fn it_is_not_seen_from_inside() {
    const SCRIPT: &str = "
pid = int(sys.stdin.readline())
names = [read(f'/proc/{name}/comm') for name in os.listdir('/proc') if name.isdigit()]
def tried(number, *arguments): return errno.errorcode[ctypes.get_errno()] if libc.syscall(number, *arguments) < 0 else 'done'
kill, pidfd_open = (62, 434) if os.uname().machine == 'x86_64' else (129, 434)
say(len(names) > 0, [name for name in names if 'zviz-' in name], os.path.exists(f'/proc/{pid}'))
say(tried(kill, pid, 0), tried(pidfd_open, pid, 0), tried(kill, os.getpid(), 0), tried(pidfd_open, os.getpid(), 0))
go()";
    each("it_is_not_seen_from_inside", &["python3"], |caller| {
        let mut inside = Inside::new(caller, &[], "", SCRIPT);
        let hand = inside.alone().expect("one that answers alone");
        assert_eq!(hand.status("Seccomp").as_deref(), Some("2"), "{hand:?}");
        for set in ["CapEff", "CapPrm", "CapInh"] {
            assert_eq!(hand.status(set).as_deref(), Some("0000000000000000"), "{hand:?}: {set}");
        }
        let listed = fs::metadata(format!("/proc/{}/environ", hand.pid)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&listed), 0, "it is dumpable");
        inside.stdin.write_all(format!("{}\n", hand.pid).as_bytes()).unwrap();
        inside.says("True [] False");
        inside.says("ESRCH ESRCH done done");
        inside.go();
        inside.ends();
    });
}
