//! What somebody who is root in a sandbox inside the sandbox tries on the broker.

use super::parts::{Broker, processes, until};
use super::{each, works};
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// pivot_root(2) gives a new root to every process that stands in the old one, the hand of those callers among them. A caller
/// that goes back into the old root is not served by it.
#[test]
fn a_hand_whose_root_has_changed_is_not_used() {
    each("a_hand_whose_root_has_changed_is_not_used", &["unshare", "busybox"], |caller| {
        let script = "mkdir /tmp/new && mount -t tmpfs tmpfs /tmp/new && mkdir /tmp/new/old /tmp/new/tmp && \
                      cp $(command -v busybox) /tmp/new && cd /tmp/new && pivot_root . old && \
                      ./busybox chroot old mount -t tmpfs of-old /tmp && ./busybox mount -t tmpfs of-new /tmp && \
                      ./busybox grep -o ' /[^ ]* .* of-[a-z]*' /old/proc/self/mountinfo";
        let out = works(caller, "nested", &["unshare", "-Urm", "sh", "-ec", script]);
        let places: Vec<(&str, &str)> = out
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                (words.nth(1).unwrap(), words.last().unwrap())
            })
            .collect();
        assert_eq!(places, [("/old/tmp", "of-old"), ("/tmp", "of-new")], "{out}");
    });
}

/// Mounts and unmounts a proc until it is told to end; `sh` would be too slow to meet anybody.
const PROCS: &str = "
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
failed = 0
end = time.monotonic() + 90
while not os.path.exists('/tmp/end') and time.monotonic() < end:
    if libc.mount(b'proc', b'/proc', b'proc', 0, None) == 0:
        libc.umount2(b'/proc', 2)
    else:
        failed += 1
print(failed)
";

/// Proc is mounted by a process that stands in the container's own pid namespace for a moment: it shows nothing there, has
/// nothing to take, and cannot be held up.
#[test]
fn who_mounts_proc_gives_nothing_away() {
    each("who_mounts_proc_gives_nothing_away", &["unshare", "python3"], |caller| {
        let share = format!("{}:/tmp", caller.work.display());
        let command = ["unshare", "-Urmpf", "python3", "-c", PROCS];
        let mut sandbox = caller.sandbox(&["--profile", "nested", "--rw", &share], &command);
        let sandbox = sandbox.stdout(Stdio::piped()).spawn().unwrap();
        let broker = Broker::wait_for(&sandbox);
        let crew = || Broker::of(sandbox.id() as i32).map(|broker| broker.crew).unwrap_or_default();
        let inside = || {
            let hands: Vec<i32> = crew().iter().map(|hand| hand.pid).collect();
            let all = processes();
            let below = |of: &[i32]| all.iter().filter(|p| of.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>();
            let last = below(&below(&hands));
            all.into_iter().find(|process| last.contains(&process.pid) && process.is_inside())
        };
        // On a busy machine it may take long to meet one.
        let (mut seen, begin) = (0, Instant::now());
        let goes_on = |seen| begin.elapsed() < Duration::from_secs(if seen == 0 { 40 } else { 2 });
        while goes_on(seen) {
            let Some(process) = inside() else { continue };
            let name = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
            assert!(name.iter().all(|byte| *byte == 0), "{:?}", String::from_utf8_lossy(&name));
            let fds = fs::read_dir(format!("/proc/{}/fd", process.pid)).map(|fds| fds.flatten().count());
            assert_eq!(fds.unwrap_or(0), 0, "{process:?} has descriptors");
            seen += usize::from(!name.is_empty());
        }
        assert!(seen > 0, "the control: nobody was seen");
        // The runtime's arguments are elsewhere: the check above can fail.
        let name = fs::read(format!("/proc/{}/cmdline", broker.eyes.pid)).unwrap();
        assert!(String::from_utf8_lossy(&name).contains("nested"));
        // One that is stopped is ended long before the call's deadline.
        let mut stopped = 0;
        while stopped < 3 {
            let process = until("another process mounts proc", Duration::from_secs(10), inside);
            process.kill(libc::SIGSTOP);
            let end = Instant::now();
            until("it is ended", Duration::from_secs(1), || {
                inside().is_none_or(|p| p.pid != process.pid).then_some(())
            });
            stopped += usize::from(end.elapsed() < Duration::from_secs(1));
        }
        fs::write(caller.work.join("end"), "").unwrap();
        let output = sandbox.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let gone = processes().into_iter().filter(|p| p.name == "zviz-hand" && p.state == 'T').count();
        assert_eq!(gone, 0, "stopped processes are left");
    });
}

/// However many threads call at once, there are only so many hands.
#[test]
fn hands_are_bounded() {
    const CALLS: &str = "
import ctypes, threading
libc = ctypes.CDLL(None)
def call():
    name = ctypes.create_string_buffer(512)
    for i in range(400):
        assert libc.uname(name) == 0
threads = [threading.Thread(target=call) for i in range(64)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print('done')
";
    each("hands_are_bounded", &["python3"], |caller| {
        let mut sandbox = caller.sandbox(&["--profile", "virtualised"], &["python3", "-c", CALLS]);
        let mut sandbox = sandbox.stdout(Stdio::null()).spawn().unwrap();
        Broker::wait_for(&sandbox);
        let mut most = 0;
        while sandbox.try_wait().unwrap().is_none() {
            most = most.max(Broker::of(sandbox.id() as i32).map_or(0, |broker| broker.crew.len()));
        }
        assert!(sandbox.wait().unwrap().success());
        println!("as {}: {most} hands at most", caller.name());
        assert!((2..=8).contains(&most), "{most} hands at once");
    });
}

/// Landlock forbids whoever is under a ruleset to mount. A hand cannot know of the ruleset, so that there are none inside.
#[test]
fn rulesets_inside_are_not_promised() {
    // landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION.
    const VERSION: &str = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); \
                           print(libc.syscall(444, None, 0, 1) > 0, ctypes.get_errno())";
    each("rulesets_inside_are_not_promised", &["python3"], |caller| {
        let asked = |profile: &str| works(caller, profile, &["python3", "-c", VERSION]);
        assert_eq!(asked("nested"), format!("False {}", libc::ENOSYS));
        assert_ne!(asked("virtualised"), format!("False {}", libc::ENOSYS), "the control");
    });
}

/// Whichever part is killed, the sandbox ends with it, and leaves nothing.
#[test]
fn a_sandbox_ends_with_its_broker() {
    each("a_sandbox_ends_with_its_broker", &[], |caller| {
        for part in ["eyes", "hands", "eyes and hands"] {
            let mut sandbox = caller.sandbox(&["--profile", "nested"], &["sh", "-c", "echo; exec sleep 1000"]);
            let mut sandbox = sandbox.stdout(Stdio::piped()).spawn().unwrap();
            let broker = Broker::wait_for(&sandbox);
            // Until it serves, its end is that of the start.
            sandbox.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            let killed = match part {
                "eyes" => &[&broker.eyes][..],
                "hands" => &[&broker.hands],
                _ => &[&broker.eyes, &broker.hands],
            };
            // So that none of several sees the end of another.
            killed.iter().for_each(|process| process.kill(libc::SIGSTOP));
            killed.iter().for_each(|process| process.kill(libc::SIGKILL));
            let what = format!("as {}: the sandbox ends after its {part}", caller.name());
            let status = until(&what, Duration::from_secs(20), || sandbox.try_wait().unwrap());
            assert_eq!(status.code(), Some(128 + libc::SIGKILL), "{what}: {status}");
            let gone = || processes().iter().all(|p| p.pid != broker.eyes.pid && p.pid != broker.hands.pid);
            until("its broker is gone", Duration::from_secs(10), || gone().then_some(()));
        }
    });
}
