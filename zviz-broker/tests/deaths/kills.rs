//! Parts of a broker are killed at any moment. `ZVIZ_DEATHS` says how often; 2000 is the proof.

use super::stage::{Calls, Stage, Word, children, files, has_ended, policy, state, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zviz_broker::policy::{Death, Pace};
use zviz_sys::process::pidfd_open;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Eyes,
    Hands,
    Both,
    /// One of those that do calls.
    Hand,
}

/// Numbers without a pattern, other ones each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        for shift in [13, -7, 17] {
            self.0 ^= if shift < 0 { self.0 >> -shift } else { self.0 << shift };
        }
        self.0 % limit
    }
}

fn times() -> u64 {
    std::env::var("ZVIZ_DEATHS").map_or(40, |count| count.parse().unwrap())
}

pub fn whoever_dies(test: &str) {
    each(test, Calls::All);
}

/// The same while files are opened, and with a hand that waits for a FIFO's other end.
pub fn whoever_dies_while_files_are_opened(test: &str) {
    each(test, Calls::Opens);
}

fn each(test: &str, calls: Calls) {
    let seed = u64::from(std::process::id()) << 20 | 0x5bd1_e995;
    let (mut chance, mut slowest, started) = (Chance(seed), Duration::ZERO, Instant::now());
    for i in 0..times() {
        let who = [Who::Eyes, Who::Hands, Who::Both, Who::Hand][usize::try_from(i % 4).unwrap()];
        let death = if chance.below(2) == 0 { Death::Kill } else { Death::Degrade };
        slowest = slowest.max(one(who, death, calls, &mut chance));
    }
    println!("{test}: {} deaths in {:?}, the slowest end of a container {slowest:?}", times(), started.elapsed());
}

/// One death. How long the container lived after it, where it had to end.
fn one(who: Who, death: Death, calls: Calls, chance: &mut Chance) -> Duration {
    let what = format!("{who:?}, {death:?}");
    let policy = if calls == Calls::Opens { files } else { policy };
    let stage = Stage::new(policy(death, Pace::default()), calls);
    std::thread::sleep(Duration::from_micros(chance.below(8_000)));
    let hands = children(stage.eyes());
    let [hands] = hands[..] else { panic!("{what}: {hands:?}") };
    let crew = || children(hands);
    let parts = [vec![stage.eyes(), hands], crew()].concat();
    let end = |pid: i32| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
    if who == Who::Hand && calls == Calls::Opens {
        // One of them answers by itself then, with which every call ends that it has.
        until("there are hands", || stage.board.get(Word::Done) > 3);
    } else if who == Who::Hand {
        until("there is a hand", || !crew().is_empty());
        crew().into_iter().for_each(end);
        let before = stage.board.get(Word::Done);
        until(&format!("{what}: calls are served again"), || stage.board.get(Word::Done) > before + 3);
        assert_eq!([Word::Forbidden, Word::Half].map(|word| stage.board.get(word)), [0, 0], "{what}");
        return finish(stage, &parts, &what);
    }
    // What was killed may have been the last process that could see it; a pidfd tells its end.
    let of_hands = pidfd_open(hands).unwrap();
    let killed = Instant::now();
    let parts = [parts, crew()].concat();
    if matches!(who, Who::Eyes | Who::Both) {
        end(stage.eyes());
    }
    if matches!(who, Who::Hands | Who::Both) {
        end(hands);
    }
    if who == Who::Hand {
        crew().into_iter().for_each(end);
    }
    if who != Who::Hands {
        assert!(has_ended(stage.broker.pidfd.as_fd(), Duration::from_secs(3)), "{what}: the eyes");
    }
    if who != Who::Eyes {
        assert!(has_ended(of_hands.as_fd(), Duration::from_secs(3)), "{what}: the hands");
    }
    if calls == Calls::Opens {
        // The one that answers by itself does so until it sees that it is the last.
        assert!(has_ended(of_hands.as_fd(), Duration::from_secs(3)), "{what}: the hands");
        let fails = || stage.board.get(Word::Refused) > 0 || has_ended(stage.victim.as_fd(), Duration::ZERO);
        until(&format!("{what}: a call fails"), fails);
    }
    stage.board.set(Word::Dead, 1);
    // Whoever lives on sees to it.
    if death == Death::Kill && who != Who::Both {
        stage.ends(&what, Duration::from_secs(2));
    } else {
        let before = stage.board.get(Word::Refused);
        // One of both may have seen the other's death.
        let may_end = death == Death::Kill;
        let ended = || has_ended(stage.victim.as_fd(), Duration::ZERO);
        until(&format!("{what}: calls fail"), || stage.board.get(Word::Refused) > before + 20 || may_end && ended());
        assert!(may_end || !ended(), "{what}: the container was to live");
        let released = || stage.board.get(Word::Released) > 0;
        until(&format!("{what}: nobody waits"), || calls != Calls::Opens || released() || may_end && ended());
    }
    let lived = killed.elapsed();
    for word in [Word::Forbidden, Word::Served, Word::Other] {
        assert_eq!(stage.board.get(word), 0, "{what}: {word:?}");
    }
    // An answer that is cut off with whoever gives it is the kernel's doing.
    assert!(who != Who::Hands || stage.board.get(Word::Half) == 0, "{what}: half an answer");
    finish(stage, &parts, &what);
    lived
}

/// Nothing is left, and nothing hangs.
fn finish(stage: Stage, parts: &[i32], what: &str) -> Duration {
    stage.finish();
    for pid in parts {
        until(&format!("{what}: {pid} is gone, which is {:?}", state(*pid)), || {
            state(*pid).is_none_or(|state| state == 'Z')
        });
    }
    Duration::ZERO
}
