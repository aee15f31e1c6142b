//! A process that calls without end under a broker, and what it has seen.

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use zviz_broker::eyes::Facts;
use zviz_broker::policy::files::Files;
use zviz_broker::policy::{Death, Mounts, Pace, Policy, Uname};
use zviz_broker::start::{Serving, Settings, Starting, Way, start};
use zviz_sys::process::{self, Cloned, pidfd_send_signal};
use zviz_sys::seccomp::{Instruction, flag, load};
use zviz_sys::{fd, path, rights, wait};

const HERE: BorrowedFd<'static> = nix::fcntl::AT_FDCWD;
/// CAP_SYS_PTRACE, and CAP_KILL.
const EYES: u64 = 1 << 19 | 1 << 5;

pub fn policy(death: Death, pace: Pace) -> Policy {
    Policy { mounts: Some(Mounts::default()), uname: Some(Uname::plain()), death, pace, ..Policy::default() }
}

/// With rules about files, and nothing else.
pub fn files(death: Death, pace: Pace) -> Policy {
    Policy { files: Some(Files { rules: Vec::new(), ..Files::default() }), death, pace, ..Policy::default() }
}

/// mount, umount2 and uname are asked about, or openat; all others are allowed.
fn filter(calls: Calls) -> Vec<Instruction> {
    let asked: &[i64] = match calls {
        Calls::Opens | Calls::Two(_) => &[libc::SYS_openat],
        Calls::All | Calls::Names => &[libc::SYS_mount, libc::SYS_umount2, libc::SYS_uname],
    };
    let mut program = vec![Instruction { code: 0x20, jt: 0, jf: 0, k: 0 }];
    for number in asked.iter().copied() {
        program.push(Instruction { code: 0x15, jt: 0, jf: 1, k: u32::try_from(number).unwrap() });
        program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fc0_0000 });
    }
    program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 });
    program
}

/// Words in a file that both sides have: neither may share memory without unsafe code.
pub struct Board(File);

/// Its words.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// Set by the test: a part of the broker is known to be dead.
    Dead,
    /// A file system of a type that is not on the list was mounted.
    Forbidden,
    /// A call succeeded that was made after `Dead` was set.
    Served,
    /// Calls that failed with ENOSYS.
    Refused,
    /// Calls made after `Dead` that failed otherwise.
    Other,
    /// Calls that succeeded.
    Done,
    /// Calls that failed with ETIMEDOUT.
    Late,
    /// Microseconds that the longest call took.
    Longest,
    /// Set by the test: call no more.
    Enough,
    /// A call succeeded that has opened nothing: its answer was cut off.
    Half,
    /// An open that waited for the other end of a FIFO has failed.
    Released,
}

impl Board {
    fn new() -> Board {
        Board(tempfile::tempfile().unwrap())
    }

    pub fn get(&self, word: Word) -> u64 {
        let mut bytes = [0; 8];
        // What was never written is zero.
        let _ = self.0.read_at(&mut bytes, word as u64 * 8);
        u64::from_le_bytes(bytes)
    }

    pub fn set(&self, word: Word, value: u64) {
        self.0.write_all_at(&value.to_le_bytes(), word as u64 * 8).unwrap();
    }

    fn more(&self, word: Word) {
        self.set(word, self.get(word) + 1);
    }
}

/// What a process calls.
#[derive(Clone, Copy, PartialEq)]
pub enum Calls {
    /// uname, an allowed mount and its end, and a forbidden mount.
    All,
    /// uname only.
    Names,
    /// openat of a file, by two threads, and of a FIFO that nobody opens, by a third. All are one identity.
    Opens,
    /// openat of a file, once, and so much later of a FIFO that nobody opens, by another thread.
    Two(Duration),
}

impl Calls {
    /// Whether files are opened, which a hand answers by itself where there is a user namespace.
    fn are_opens(self) -> bool {
        matches!(self, Calls::Opens | Calls::Two(_))
    }
}

/// A process with a broker.
pub struct Stage {
    pub board: Board,
    pub victim: OwnedFd,
    pub pid: i32,
    pub broker: Serving,
}

impl Stage {
    /// Both are there, and the process calls.
    pub fn new(policy: Policy, calls: Calls) -> Stage {
        Stage::stopped_by(None, policy, calls)
    }

    /// As `new`, with the file of whoever may stop it.
    pub fn stopped_by(freezer: Option<File>, policy: Policy, calls: Calls) -> Stage {
        let (ours, theirs) = fd::packet_pair().unwrap();
        let settings = Settings {
            policy,
            facts: Facts::default(),
            capabilities: if calls.are_opens() { 0 } else { EYES },
            one_identity: calls.are_opens(),
            container: "deaths".into(),
            patient: false,
            way: Way { freezer, ..Way::default() },
        };
        let (starting, board) = (start(settings).unwrap(), Board::new());
        let users = if calls.are_opens() { libc::CLONE_NEWUSER } else { 0 };
        let namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS | users;
        match process::clone(u64::from(namespaces.cast_unsigned()), None).unwrap() {
            Cloned::Child => {
                // Not dropped: it would wait for the broker's end. Its socket is closed at the other end once the broker serves.
                std::mem::forget(starting);
                drop(ours);
                rights::receive(theirs.as_fd(), &mut [0u8; 1]).unwrap();
                live(&board, calls, theirs)
            }
            Cloned::Parent { pid, pidfd } => {
                drop(theirs);
                for map in ["uid_map", "gid_map"].iter().filter(|_| users != 0) {
                    fs::write(format!("/proc/{pid}/{map}"), "0 0 4294967295").unwrap();
                }
                rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
                let broker = serve(starting, &ours, &pidfd);
                Stage { board, victim: pidfd, pid, broker }
            }
        }
    }

    pub fn eyes(&self) -> i32 {
        self.broker.pid
    }

    /// Until the process has ended; it must within this time.
    pub fn ends(&self, what: &str, patience: Duration) -> wait::Exit {
        assert!(has_ended(self.victim.as_fd(), patience), "{what}: the container lives after {patience:?}");
        wait::wait(self.victim.as_fd()).unwrap()
    }

    pub fn kill(&self) {
        let _ = pidfd_send_signal(self.victim.as_fd(), libc::SIGKILL);
    }

    /// Ends all there is.
    pub fn finish(self) {
        self.kill();
        let _ = wait::wait(self.victim.as_fd());
        assert!(has_ended(self.broker.pidfd.as_fd(), Duration::from_secs(3)), "the eyes have not ended");
        let _ = wait::wait(self.broker.pidfd.as_fd());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What a failed test leaves.
        self.kill();
    }
}

fn serve(starting: Starting, ours: &OwnedFd, pidfd: &OwnedFd) -> Serving {
    let mut word = [0u8; 1];
    let [listener, ..] = rights::receive(ours.as_fd(), &mut word).unwrap().fds;
    let serving = starting.serve(listener.unwrap(), pidfd.as_fd(), pidfd.as_fd()).unwrap();
    rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
    serving
}

/// Calls, until somebody ends it.
fn live(board: &Board, calls: Calls, parent: OwnedFd) -> ! {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    if calls.are_opens() {
        mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        fs::write("/tmp/file", "").unwrap();
        nix::unistd::mkfifo("/tmp/fifo", nix::sys::stat::Mode::S_IRUSR).unwrap();
    }
    zviz_sys::ids::set_no_new_privs().unwrap();
    let listener = load(&filter(calls), flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV).unwrap().unwrap();
    rights::send(parent.as_fd(), &[1], listener.as_fd()).unwrap();
    drop(listener);
    let mut word = [0u8; 1];
    rights::receive(parent.as_fd(), &mut word).unwrap();
    if let Calls::Two(later) = calls {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let started = Instant::now();
                while started.elapsed() < later {
                    std::hint::spin_loop();
                }
                waits(board)
            });
            open(board);
        });
    }
    if calls == Calls::Opens {
        std::thread::scope(|threads| {
            threads.spawn(|| waits(board));
            threads.spawn(|| opens(board));
            opens(board)
        })
    }
    loop {
        if board.get(Word::Enough) != 0 {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        call(board, || zviz_sys::machine::names().map(drop));
        if calls == Calls::Names {
            continue;
        }
        if mount(Some("none"), "/tmp", Some("ramfs"), MsFlags::empty(), none).is_ok() {
            board.more(Word::Forbidden);
        }
        let options = Some("size=4k");
        if call(board, || mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), options)) {
            call(board, || umount2("/tmp", MntFlags::MNT_DETACH));
        }
    }
}

fn waits(board: &Board) {
    if path::openat(HERE, c"/tmp/fifo", libc::O_RDONLY, 0).is_err() {
        board.more(Word::Released);
    }
}

fn opens(board: &Board) -> ! {
    loop {
        open(board);
    }
}

fn open(board: &Board) {
    call(board, || {
        let file = path::openat(HERE, c"/tmp/file", libc::O_RDONLY, 0)?;
        if file.as_raw_fd() <= 2 {
            board.more(Word::Half);
            std::mem::forget(file);
        }
        Ok(())
    });
}

fn call(board: &Board, what: impl FnOnce() -> Result<(), Errno>) -> bool {
    let (dead, started) = (board.get(Word::Dead) != 0, Instant::now());
    let result = what();
    let took = u64::try_from(started.elapsed().as_micros()).unwrap();
    board.set(Word::Longest, board.get(Word::Longest).max(took));
    match result {
        Ok(()) => board.more(if dead { Word::Served } else { Word::Done }),
        Err(Errno::ENOSYS) => board.more(Word::Refused),
        Err(Errno::ETIMEDOUT) => board.more(Word::Late),
        Err(_) if dead => board.more(Word::Other),
        Err(_) => {}
    }
    result.is_ok()
}

pub fn has_ended(pidfd: BorrowedFd<'_>, patience: Duration) -> bool {
    let patience = PollTimeout::try_from(patience).unwrap();
    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], patience).is_ok_and(|count| count > 0)
}

/// Until a condition holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while !holds() {
        assert!(Instant::now() < deadline, "not within three seconds: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The third field of a process's stat: its state; none where there is no such process.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let parent = |of: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    numbers.filter(|of| parent(*of) == Some(pid)).collect()
}
