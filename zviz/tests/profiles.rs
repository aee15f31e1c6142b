//! Profiles in files: what each key takes away is there without it, and everything that is wrong with a file is told.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use support::requires;

/// A key, what is written (on top of the default profile), flags beside it, and a script that ends well where the thing can be
/// done. It can with the flags alone, and cannot with what is written.
struct Case(&'static str, &'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case("syscalls.deny", "syscalls: {deny: [chmod, fchmodat, fchmodat2]}", &[], "touch /tmp/a && chmod 600 /tmp/a"),
    Case("syscalls.deny group", "syscalls: {deny: [\"@debug\"]}", &[], "perl -e 'exit(syscall(101, 0, 0, 0, 0) < 0)'"),
    Case("syscalls.deny calls on sockets", "syscalls: {deny: [\"@sockets\"]}", &[], "python3 -c 'import socket; socket.socketpair()[0].getsockname()'"),
    Case("ioctl.allowlists", "ioctl: {allowlists: [{subsystem: fs, commands: [FIONBIO]}]}", &[], "python3 -c 'import fcntl,os; r,w=os.pipe(); fcntl.ioctl(r, 0x541b, bytes(4))'"),
    Case("filesystem.base", "filesystem: {base: none, readonly: [/usr, /bin, /lib, /lib64]}", &[], "cat /etc/passwd"),
    Case("filesystem.readonly", "filesystem: {readonly: [/tmp]}", &[], "echo > /tmp/a"),
    Case("filesystem.writable", "filesystem: {writable: [/tmp]}", &[], "echo > /var/tmp/a"),
    Case("filesystem.rootfs", "filesystem: {rootfs: readonly}", &[], "echo > /tmp/a"),
    Case("filesystem.hidden", "filesystem: {hidden: [/etc/passwd]}", &[], "test -s /etc/passwd"),
    Case("filesystem.hidden pattern", "filesystem: {hidden: [\"*.secret\"]}", &[], "cat it.secret"),
    Case("filesystem.executable", "filesystem: {executable: [/usr, /bin, /lib, /lib64]}", &[], "cp /bin/true /tmp/t && /tmp/t"),
    Case("filesystem.executable memory", "filesystem: {executable: [/usr, /bin, /lib, /lib64]}", &[], "python3 -c 'import os; fd=os.memfd_create(\"x\"); os.write(fd, open(\"/bin/true\", \"rb\").read()); os.execv(\"/proc/self/fd/%d\" % fd, [\"x\"])'"),
    Case("filesystem.set_id_bits", "filesystem: {set_id_bits: false}", &[], "touch /tmp/a && chmod u+s /tmp/a"),
    Case("filesystem.set_id_bits group", "filesystem: {set_id_bits: false}", &[], "mkdir /tmp/a && chmod g+s /tmp/a"),
    Case("filesystem.set_id_bits made", "filesystem: {set_id_bits: false}", &[], "python3 -c 'import os; os.open(\"/tmp/a\", os.O_CREAT | os.O_WRONLY, 0o4755)'"),
    Case("filesystem.set_id_bits brokered", "filesystem: {set_id_bits: false, patterns: {deny_write: [\"*.x\"]}}", &[], "touch /tmp/a && chmod 4755 /tmp/a"),
    Case("filesystem.patterns.deny_read", "filesystem: {patterns: {deny_read: [\"*.secret\"]}}", &[], "cat it.secret"),
    Case("filesystem.patterns.deny_write", "filesystem: {patterns: {deny_write: [\"*.conf\"]}}", &[], "echo > a.conf"),
    Case("filesystem.patterns.ask", "filesystem: {patterns: {ask: [\"*.secret\"]}}", &[], "cat it.secret"),
    Case("filesystem.writable beside patterns", "filesystem: {writable: [/var/tmp], patterns: {allow_write: [\"*.log\"], deny_write: [\"*.x\"]}}", &[], "echo > /tmp/a.log"),
    Case("filesystem.writable beside audit", "filesystem: {writable: [/var/tmp], patterns: {audit: [\"**\"]}}", &[], "echo > /tmp/a"),
    Case("filesystem.base beside patterns", "filesystem: {base: none, readonly: [/usr, /bin, /lib, /lib64], patterns: {allow_read: [\"/tmp/**\"], deny_read: [\"*.x\"]}}", &[], "ls /tmp/"),
    Case("filesystem.readonly root", "filesystem: {readonly: [/], patterns: {deny_read: [\"*.x\"]}}", &[], "echo > /tmp/a"),
    Case("filesystem.workspace none", "filesystem: {workspace: none}", &[], "test -e it.secret"),
    Case("filesystem.workspace readonly", "filesystem: {workspace: readonly}", &[], "echo > here"),
    Case("network.mode", "network: {mode: none}", &["--net", "host"], "true"),
    Case("network.allow_cidrs", "network: {mode: allow-cidr, allow_cidrs: [192.0.2.0/24]}", &["--net", "host"], CONNECT),
    Case("network.egress.allow", "network: {egress: {allow: [192.0.2.0/24], deny: [0.0.0.0/0]}}", &["--net", "host"], CONNECT),
    Case("network.egress.deny", "network: {egress: {deny: [127.0.0.0/8]}}", &["--net", "host"], CONNECT),
    Case("network.dns.allow", "network: {dns: {allow: false}}", &["--net", "host"], "python3 -c 'import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((\"127.0.0.1\", 53))'"),
    Case("network.sockets.allow", "network: {sockets: {allow: [unix]}}", &[], "python3 -c 'import socket; socket.socket()'"),
    Case("network.sockets.deny", "network: {sockets: {deny: [udp]}}", &[], "python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM)'"),
    Case("network.ports.allow_bind", "network: {ports: {allow_bind: [8001]}}", &[], "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", 8000))'"),
    Case("network.ports.allow_connect", "network: {ports: {allow_connect: [8001]}}", &[], CONNECT),
    Case("network.ports.allow_connect fast open", "network: {ports: {allow_connect: [8001]}}", &[], "python3 -c 'import socket\ntry: socket.socket().sendto(b\"x\", 0x20000000, (\"127.0.0.1\", 8000))\nexcept OSError as e: exit(e.errno == 95)'"),
    Case("network.ports.deny_connect", "network: {ports: {deny_connect: [8000-8099]}}", &[], CONNECT),
    Case("resources.open_files", "resources: {open_files: 64}", &[], "python3 -c 'import os; [os.dup(0) for i in range(99)]'"),
    Case("resources.file_size", "resources: {file_size: 1M}", &[], "head -c 2000000 /dev/zero > /tmp/a"),
    Case("resources.cpu_time", "resources: {cpu_time: 1s}", &["--timeout", "20s"], "python3 -c 'import time\nwhile time.process_time() < 2.5: pass'"),
    Case("resources.wall_time", "resources: {wall_time: 300ms}", &[], "sleep 1"),
    Case("nested", "capabilities: {drop_all: true}", &["--profile", "nested"], "unshare -Urm true"),
];

const CONNECT: &str = "python3 -c '
import socket
at = (\"127.0.0.1\", 0)
server = socket.socket()
for port in range(8010, 8090):
    try: server.bind((\"127.0.0.1\", port)); break
    except OSError: pass
server.listen()
socket.create_connection(server.getsockname(), 5)'";

fn write(caller: &Caller, name: &str, text: &str) -> PathBuf {
    let path = caller.place.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn each_key_takes_away_what_it_says() {
    requires!(root, program "python3", program "perl");
    for caller in Caller::both() {
        fs::write(caller.work.join("it.secret"), "secret\n").unwrap();
        let plain = write(&caller, "plain.yaml", "name: plain\nextends: default\n");
        for Case(key, text, flags, script) in CASES.iter() {
            let own = write(&caller, "own.yaml", &format!("name: own\nextends: default\n{text}\n"));
            let run = |profile: &PathBuf| {
                let mut all = flags.to_vec();
                if !flags.contains(&"--profile") || profile == &own {
                    all.retain(|flag| !matches!(*flag, "--profile" | "nested"));
                    all.extend(["--profile", profile.to_str().unwrap()]);
                }
                caller.run(&all, &["sh", "-ec", script])
            };
            let without = run(&plain);
            assert!(without.status.success(), "as {}: {key}: the control: {without:?}", caller.name());
            let with = run(&own);
            assert!(!with.status.success(), "as {}: {key} takes nothing away: {with:?}", caller.name());
            let _ = fs::remove_file(caller.work.join("a.conf"));
            let _ = fs::remove_file(caller.work.join("here"));
        }
        assert_eq!(caller.left(), [""; 0]);
    }
}

/// A list of its own: one that is extended would come before it.
#[test]
fn calls_that_are_not_listed_are_not_there() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        let list = "syscalls: {allow: ['@descriptors', '@files', '@memory', '@process', '@clone', '@identity', '@time', '@ioctl', '@prctl'";
        let makes = |more: &str| {
            let own = write(&caller, "own.yaml", &format!("name: own\n{list}{more}]}}\n"));
            let flags = ["--profile", own.to_str().unwrap()];
            caller.says(&flags, "python3 -c 'import socket; socket.socketpair()' 2>/dev/null && echo made || echo not")
        };
        assert_eq!((&*makes(", '@socket', '@sockets'"), &*makes("")), ("made", "not"), "as {}", caller.name());
    }
}

#[test]
fn nobody_connects_where_there_is_no_network() {
    const SERVER: &str = "
import socket
server = socket.create_server((\"127.0.0.1\", 0))
server.settimeout(2)
print(server.getsockname()[1], flush=True)
try: server.accept(); print(\"reached\")
except TimeoutError: print(\"alone\")
";
    requires!(root, program "python3");
    for caller in Caller::both() {
        let own = write(
            &caller,
            "own.yaml",
            "name: own\nextends: default\nnetwork: {mode: none, ingress: {deny_all: true}}\n",
        );
        let own = own.to_str().unwrap();
        let listens = |flags: &[&str]| {
            let mut zviz = caller.sandbox(flags, &["python3", "-c", SERVER]);
            let mut zviz = zviz.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(zviz.stdout.take().unwrap()).lines().map_while(Result::ok);
            let port: u16 = lines.next().unwrap().parse().unwrap();
            let _ = TcpStream::connect(("127.0.0.1", port));
            let told = lines.next();
            assert!(zviz.wait().unwrap().success());
            told
        };
        let told = (listens(&["--net", "host"]), listens(&["--profile", own]));
        assert_eq!(told, (Some("reached".into()), Some("alone".into())), "as {}", caller.name());
        assert_eq!(caller.run(&["--profile", own, "--net", "host"], &["true"]).status.code(), Some(125));
    }
}

#[test]
fn what_a_profile_leaves_goes_on_working() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        fs::write(caller.work.join("it.conf"), "text\n").unwrap();
        let text = "name: own
filesystem:
  base: none
  readonly: [/usr, /bin, /lib, /lib64, /etc/passwd]
  tmpfs: [/tmp, /scratch]
  writable: []
  executable: [/usr, /bin, /lib, /lib64]
  patterns: {deny_write: ['*.conf']}
network: {mode: none, sockets: {allow: [unix, tcp]}}
resources: {pids_max: 64, memory_max: 1G, open_files: 256, cpu_max: 0.5, tmpfs_max: 8M}
requirements: {cgroup: optional}
";
        let own = write(&caller, "own.yaml", text);
        let flags = ["--profile", own.to_str().unwrap()];
        // The folder that one stands in is shared, as flags are, whatever is listed.
        let script = "cat it.conf; echo made > made; cat made; echo x > /tmp/a; echo y > /scratch/b; cat /etc/passwd | head -c 4; echo;
            ls /etc/group 2>/dev/null || echo none; ulimit -n; python3 -c 'print(sum(range(10)))'; { echo > it.conf; } 2>/dev/null || echo kept";
        let said = caller.says(&flags, script);
        assert_eq!(said.lines().collect::<Vec<_>>(), ["text", "made", "root", "none", "256", "45", "kept"]);
        let size = caller.says(&flags, "df -k /scratch | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2");
        assert_eq!(size, "8192");
        let ports = "name: own\nextends: default\nnetwork: {ports: {allow_bind: [8000], allow_connect: [8000]}}\n";
        let own = write(&caller, "ports.yaml", ports);
        let script = "python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\", 8000)); s.listen()
socket.create_connection((\"127.0.0.1\", 8000), 5); print(\"connected\")'";
        assert_eq!(caller.says(&["--profile", own.to_str().unwrap()], script), "connected");
    }
}

#[test]
fn capabilities_are_those_that_are_kept() {
    requires!(root);
    for caller in Caller::both() {
        let text =
            "name: own\nextends: default\ncapabilities: {keep: [NET_BIND_SERVICE], ambient: [NET_BIND_SERVICE]}\n";
        let own = write(&caller, "own.yaml", text);
        let eff = |flags: &[&str]| caller.says(flags, "grep CapEff /proc/self/status | tr -d '\\t'");
        assert_eq!(eff(&[]), "CapEff:0000000000000000");
        assert_eq!(eff(&["--profile", own.to_str().unwrap()]), "CapEff:0000000000000400");
        // All but one of what nobody gives.
        let text =
            "name: own\nextends: default\ncapabilities: {drop_all: false, bounding: {drop: [NET_BIND_SERVICE]}}\n";
        let own = write(&caller, "own.yaml", text);
        assert_eq!(eff(&["--profile", own.to_str().unwrap()]), "CapEff:0000000000000000");
    }
}

#[test]
fn what_is_wrong_with_a_profile_is_told_and_leaves_nothing() {
    requires!(root);
    for caller in Caller::both() {
        let path = caller.place.path().join("own.yaml").to_str().unwrap().to_owned();
        for (text, expected) in [
            ("name: own\nfilesytem: {}\n", "own.yaml:2: filesytem: is no key (did you mean filesystem?)"),
            ("name: own\nextends: nobody\n", "own.yaml:2: extends: there is no profile \"nobody\""),
            ("resources: {memory_max: 5Q}\n", "own.yaml:1: resources.memory_max: unknown unit"),
            ("syscalls: {broker: [getpid]}\n", "own.yaml:1: syscalls.broker[0]: the broker cannot answer getpid"),
            ("syscalls: {broker: [mount]}\n", "own.yaml:1: syscalls.broker: mounts are for sandboxes inside"),
            (
                "network: {mode: host, ingress: {deny_all: true}}\n",
                "own.yaml:1: network.ingress.deny_all: only the packet",
            ),
            (
                "network: {mode: host, allow_domains: [a.b]}\n",
                "own.yaml:1: network.allow_domains: only the packet filter",
            ),
            ("lsm: {type: apparmor, profile: nobody}\n", "no AppArmor"),
            ("lsm: {type: apparmor}\n", "no AppArmor"),
            ("requirements: {lsm: required}\n", "requirements.lsm: neither an AppArmor profile"),
        ] {
            if expected == "no AppArmor" && fs::exists("/sys/kernel/security/apparmor").unwrap() {
                continue;
            }
            write(&caller, "own.yaml", text);
            let output = caller.run(&["--profile", &path], &["true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(125), "{text}: {said}");
            assert!(said.contains(expected), "{text}: {said}");
        }
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn profiles_are_found_by_name() {
    requires!(root);
    for caller in Caller::both() {
        let folder = caller.home.join(".config/zviz/profiles");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mine.yaml"), "name: mine\nextends: default\nresources: {open_files: 77}\n").unwrap();
        if !caller.root {
            let (uid, gid) = caller.ids();
            std::os::unix::fs::chown(folder.join("mine.yaml"), Some(uid), Some(gid)).unwrap();
        }
        assert_eq!(caller.says(&["--profile", "mine"], "ulimit -n"), "77");
        for name in ["../mine", "nobody", ""] {
            assert_eq!(caller.run(&["--profile", name], &["true"]).status.code(), Some(125), "{name}");
        }
        // Whoever may write it says what holds: that must be the caller, or root.
        fs::set_permissions(folder.join("mine.yaml"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let output = caller.run(&["--profile", "mine"], &["true"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("can be written by others"), "{output:?}");
    }
}

#[test]
fn compiled_profiles_are_the_same_bytes_and_the_same_policy() {
    requires!(root);
    for caller in Caller::both() {
        let text = "name: own\nextends: default\nsyscalls: {deny: [\"@debug\"]}\nfilesystem: {patterns: {deny_read: ['*.secret']}}\nresources: {open_files: 77}\n";
        let own = write(&caller, "own.yaml", text);
        fs::write(caller.work.join("it.secret"), "secret\n").unwrap();
        let zviz = |args: &[&str]| {
            let mut zviz = caller.program(caller.place.path().join("zviz"));
            zviz.arg("--root").arg(caller.state()).args(args).output().unwrap()
        };
        let folders = [caller.work.join("one"), caller.work.join("other")];
        for folder in &folders {
            let done = zviz(&["compile", own.to_str().unwrap(), "--output", folder.to_str().unwrap()]);
            assert!(done.status.success(), "{done:?}");
        }
        let files = ["own.bpf", "own.broker.json", "own.manifest.json"];
        for file in files {
            let [one, other] = folders.each_ref().map(|folder| fs::read(folder.join(file)).unwrap());
            assert!(one == other && !one.is_empty(), "{file}");
        }
        assert_eq!(fs::read_dir(&folders[0]).unwrap().count(), files.len());
        let folder = folders[0].to_str().unwrap();
        let script = "ulimit -n; cat it.secret 2>/dev/null || echo denied";
        for flags in [["--compiled", folder], ["--profile", own.to_str().unwrap()]] {
            assert_eq!(caller.says(&flags, script), "77\ndenied", "as {}: {flags:?}", caller.name());
        }
        let shown = zviz(&["compile", own.to_str().unwrap(), "--show"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("own.yaml:4: filesystem.patterns.deny_read[0]: broker in own.broker.json"), "{shown}");
        assert!(zviz(&["compile", own.to_str().unwrap(), "--check-host"]).status.success());
        let listed = zviz(&["compile", "--list", "--output", folder]);
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "own\n");
        // What was changed since is not used.
        fs::write(folders[0].join("own.bpf"), &fs::read(folders[0].join("own.bpf")).unwrap()[8..]).unwrap();
        let output = caller.run(&["--compiled", folder], &["true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not what was compiled"), "{output:?}");
    }
}

/// Nobody else has a file open to be written when its writer has closed it: execve(2), ETXTBSY.
#[test]
fn what_was_just_written_is_executed() {
    requires!(root, program "busybox");
    for caller in Caller::both() {
        let text = "name: own\nextends: default\nfilesystem: {patterns: {deny_read: ['*.secret']}}\n";
        let own = write(&caller, "own.yaml", text);
        let script = "busybox=$(command -v busybox); i=0; while [ $i -lt 60 ]; do i=$((i + 1)); \
                      mkdir /tmp/$i; cp $busybox /tmp/$i/busybox; /tmp/$i/busybox true || echo failed; done; echo done";
        assert_eq!(caller.says(&["--profile", own.to_str().unwrap()], script), "done", "as {}", caller.name());
    }
}

/// By every call that changes a file without opening it, or makes one.
#[test]
fn what_may_not_be_written_is_not_removed_cut_or_made() {
    const TRIES: &str = "
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    if libc.syscall(number, *args) < 0: raise OSError(ctypes.get_errno(), 'failed')
def reading(act):
    fd = os.open('a.keep', os.O_RDONLY)
    try: act(fd)
    finally: os.close(fd)
here = os.open('.', os.O_PATH)
tries = {
    'truncate': lambda: os.truncate('a.keep', 0),
    'chmod': lambda: os.chmod('a.keep', 0o700),
    'fchmod': lambda: reading(lambda fd: os.fchmod(fd, 0o701)),
    'fchmodat': lambda: os.chmod('a.keep', 0o702, dir_fd=here),
    'fchmodat2': lambda: call(452, here, b'a.keep', 0o703, 0),
    'mkdir': lambda: os.mkdir('new.keep'),
    'mkdirat': lambda: os.mkdir('new.keep', dir_fd=here),
    'mknod': lambda: os.mknod('new.keep', 0o100600),
    'mkfifo': lambda: os.mkfifo('new.keep', dir_fd=here),
    'unlink': lambda: os.unlink('a.keep'),
    'unlinkat': lambda: os.unlink('a.keep', dir_fd=here),
    'rmdir': lambda: os.rmdir('folder.keep'),
}
for name, act in tries.items():
    for remove in [os.unlink, os.rmdir]:
        try: remove('new.keep')
        except OSError: pass
    if not os.path.exists('a.keep'): open('a.keep', 'w').write('text')
    try: act(); print(name, 'done')
    except OSError as e: print(name, e.errno)
";
    requires!(root, program "python3");
    for caller in Caller::both() {
        let own = "name: own\nextends: default\nfilesystem: {patterns: {deny_write: ['*.keep']}}\n";
        let own = write(&caller, "own.yaml", own);
        let mut told = Vec::new();
        for flags in [vec!["--profile", own.to_str().unwrap()], vec![]] {
            let kept = caller.work.join("a.keep");
            let folder = caller.work.join("folder.keep");
            for made in [fs::write(&kept, "text"), fs::create_dir(&folder)] {
                made.unwrap();
            }
            let (user, group) = caller.ids();
            for path in [&kept, &folder] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
            let said = caller.run(&flags, &["python3", "-c", TRIES]);
            let lines = String::from_utf8(said.stdout).unwrap();
            let answers: Vec<String> =
                lines.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
            assert_eq!(answers.len(), 12, "{lines} {}", String::from_utf8_lossy(&said.stderr));
            told.push((lines, answers));
            if !flags.is_empty() {
                assert_eq!(fs::read_to_string(&kept).unwrap(), "text", "as {}", caller.name());
                assert!(folder.is_dir() && !caller.work.join("new.keep").exists());
            }
            let _ = fs::remove_dir(&folder);
            let _ = fs::remove_file(&kept);
        }
        // EACCES.
        assert!(told[0].1.iter().all(|answer| answer == "13"), "as {}: {}", caller.name(), told[0].0);
        // ENOSYS of an older kernel.
        let control = told[1].1.iter().all(|answer| answer == "done" || answer == "38");
        assert!(control, "as {}: the control: {}", caller.name(), told[1].0);
    }
}
