//! Who takes down what happens does not take it, and nobody waits for him.

use super::container::Container;
use super::internet::{Internet, wait_for};
use super::sandboxes::World;
use super::support::requires;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Far more refusals than a pipe holds lines, then one connection.
const MANY: &str = "import socket\n\
    for i in range(3000):\n\
    \x20   with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n\
    \x20       try: one.sendto(b'x', ('203.0.113.10', 443))\n\
    \x20       except OSError: pass\n\
    \x20       try: one.sendto(b'x', ('169.254.169.254', 80))\n\
    \x20       except OSError: pass\n\
    try: socket.create_connection(('169.254.169.254', 80), 3); print('metadata')\n\
    except OSError: pass\n\
    print(socket.create_connection(('203.0.113.10', 80), 20).recv(100).decode().strip())\n";

/// What it prints before it ends, which it must.
fn ends(mut zviz: Child) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    while zviz.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < until || {
                drop(zviz.kill());
                false
            },
            "it waits"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut text = String::new();
    zviz.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_reader_that_takes_nothing_holds_nobody() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let words = ["/usr/bin/python3", "-c", MANY];
    let mut command = world.run(0, &["--net", "bridge", "--net-log"], &words);
    // Standard error is a pipe that nobody reads.
    let zviz = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(ends(zviz), "web\n");
    world.is_clean();
}

#[test]
fn a_runtime_that_is_stopped_holds_nobody() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let words = ["/usr/bin/python3", "-c", &format!("import sys; sys.stdin.read()\n{MANY}")];
    let mut command = world.run(0, &["--net", "bridge", "--net-log"], &words);
    let mut zviz = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the sandbox", || !world.leases().is_empty());
    std::thread::sleep(Duration::from_millis(500));
    let pid = Pid::from_raw(i32::try_from(zviz.id()).unwrap());
    drop(zviz.stdin.take());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_for("its connection", || world.internet.web.was_reached("tcp", 80));
    assert!(!fs::read_to_string(&world.internet.core_log).unwrap().contains("tcp 80"), "the metadata address");
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(ends(zviz), "web\n");
    world.is_clean();
}

#[test]
fn a_record_on_a_full_disk_holds_nobody() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let yaml = "network: {log: all}\n";
    let mut container = Container::new(&internet, "full").joins(&pod).profile(yaml);
    let (audit, size) = (internet.scratch.join("audit"), internet.scratch.join("size"));
    container.binary = internet.scratch.join("zviz.sh");
    // With a disk of 16 KiB, and, as the control, with one that has room.
    for disk in ["16k", "1m"] {
        let small = "mount -t tmpfs -o size=$DISK none /mnt; touch /mnt/a $AUDIT; mount --bind /mnt/a $AUDIT";
        let script = format!(
            "#!/bin/sh\nDISK={disk}; AUDIT={}; {small}\n{} \"$@\"; code=$?; wc -c <$AUDIT >{}; exit $code\n",
            audit.display(),
            super::support::ZVIZ,
            size.display()
        );
        fs::write(&container.binary, script).unwrap();
        fs::set_permissions(&container.binary, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(container.runs(&["/usr/bin/python3", "-c", MANY]).ok().trim(), "web");
        let size: u32 = fs::read_to_string(&size).unwrap().trim().parse().unwrap();
        assert!(if disk == "16k" { size <= 16384 } else { size > 16384 }, "{disk}: {size}");
    }
    // A pipe is nothing to write to, and nobody waits for who would read it; nor is another user's file.
    container.binary = super::support::ZVIZ.into();
    for (make, what) in [("mkfifo -m 600", "audit"), ("install -m 600 -o 1000 /dev/null", "owned by another user")] {
        fs::remove_file(&audit).unwrap();
        internet.host.shell(&format!("{make} {}", audit.display()));
        let done = container.runs(&["/usr/bin/true"]).exits(1);
        assert!(done.err.contains(what), "{make}: {done}");
    }
}
