//! What a profile takes away: it can be done under the default profile, and cannot under this one.

use crate::callers::Caller;
use crate::program::{empty, works};
use crate::support::{missing, skip};

/// What it is, flags of both runs, and a script that ends well where it can be done.
pub struct Attack(pub &'static str, pub &'static [&'static str], pub &'static str);

impl Attack {
    pub const SOCKET: Attack = Attack("a socket", &[], "python3 -c 'import socket; socket.socketpair()'");
    pub const INTERNET_SOCKET: Attack = Attack("a socket", &[], "python3 -c 'import socket; socket.socket()'");
    pub const KERNEL_TALK: Attack =
        Attack("netlink", &[], "python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)'");
    pub const OTHER_PROCESS: Attack =
        Attack("trace a process", &[], "python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) < 0)'");
    pub const OTHER_MEMORY: Attack = Attack(
        "read another's memory",
        &[],
        "python3 -c '
import ctypes, os
class Part(ctypes.Structure): _fields_ = [(\"at\", ctypes.c_void_p), (\"size\", ctypes.c_size_t)]
secret, copy = ctypes.create_string_buffer(b\"secret\"), ctypes.create_string_buffer(6)
child = os.fork()
if child == 0: import time; time.sleep(3); os._exit(0)
here, there = Part(ctypes.addressof(copy), 6), Part(ctypes.addressof(secret), 6)
read = ctypes.CDLL(None).process_vm_readv(child, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
os.kill(child, 9)
assert (read, copy.raw) == (6, b\"secret\")'",
    );
    pub const HOST_SETTINGS: Attack = Attack("read the host's settings", &[], "cat /etc/passwd");
    pub const NO_FOLDER: Attack = Attack(
        "execute a program that is in no folder",
        &[],
        "python3 -c '
import os
file = os.memfd_create(\"m\", 0)
os.write(file, open(\"/bin/true\", \"rb\").read())
os.execv(\"/proc/self/fd/%d\" % file, [\"true\"])'",
    );
    /// Without a network there is no way there, which is no refusal.
    pub const CREDENTIALS: Attack = Attack(
        "ask for the machine's credentials",
        &[],
        "python3 -c '
import errno, socket
try: socket.socket(type=socket.SOCK_DGRAM).connect((\"169.254.169.254\", 80))
except OSError as e: exit(e.errno in [errno.EACCES, errno.EPERM])'",
    );
    pub const MAIL: Attack = Attack(
        "send mail",
        &[],
        "python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).connect((\"127.0.0.1\", 25))'",
    );
    /// A socket of that name, wherever it is.
    pub const DOCKER: Attack = Attack(
        "speak with Docker",
        &[],
        "python3 -c '
import os, socket
at = os.environ[\"PWD\"] + \"/docker.sock\"
server = socket.socket(socket.AF_UNIX); server.bind(at); server.listen()
socket.socket(socket.AF_UNIX).connect(at)'",
    );
    pub const UPLOADED: Attack = Attack("execute what was written", &[], "cp /bin/true t; ./t");
    pub const UPLOADED_MAPPED: Attack =
        Attack("have what was written mapped", &[], "cp /bin/true t; $(ls /lib*/ld-linux*.so.* | head -n 1) ./t");
}

/// Tries each as both callers.
pub fn all_fail(profile: &str, attacks: &[Attack]) {
    all_fail_in(profile, "true", attacks);
}

/// In a folder that a script has filled before each, outside any sandbox.
pub fn all_fail_in(profile: &str, before: &str, attacks: &[Attack]) {
    if let Some(missing) = missing(&["python3"]) {
        return skip(profile, &format!("{missing} is not installed"));
    }
    for caller in Caller::both().into_iter().filter(|caller| works(profile, caller)) {
        for Attack(name, flags, script) in attacks {
            let run = |profile: &str| {
                assert!(caller.program("sh").args(["-ec", before]).status().unwrap().success(), "{before}");
                let output = caller.run(&[flags, &["--profile", profile][..]].concat(), &["sh", "-ec", script]);
                empty(&caller.work);
                output
            };
            let control = run("default");
            assert!(control.status.success(), "as {}: {name}: the control: {control:?}", caller.name());
            let tried = run(profile);
            assert!(!tried.status.success(), "as {}: under {profile}: {name}: works: {tried:?}", caller.name());
            // 125 is for a sandbox that could not be made, which is an answer to a flag alone.
            let made = tried.status.code() != Some(125) || !flags.is_empty();
            assert!(made, "as {}: {name}: {tried:?}", caller.name());
        }
        assert_eq!(caller.left(), [""; 0]);
    }
}
