//! Many sandboxes at the bridge, started at the same time.

use super::sandboxes::{PORT, Shell, World, flows};
use super::support::{requires, run};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const MANY: usize = 200;
/// Each of these looks for the ones that follow.
const SAMPLES: usize = 8;

#[test]
fn each_has_its_own_address_and_none_reaches_another() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let begun = Instant::now();
    let mut all: Vec<Shell> = (0..MANY).map(|_| world.shell(0, &["--net", "bridge"])).collect();
    let addresses: Vec<(String, String)> = all.iter_mut().map(Shell::addresses).collect();
    eprintln!("{MANY} sandboxes at the bridge in {:.1} s", begun.elapsed().as_secs_f64());
    let (fours, sixes): (BTreeSet<_>, BTreeSet<_>) = addresses.iter().cloned().unzip();
    assert_eq!((fours.len(), sixes.len()), (MANY, MANY));
    assert_eq!(world.leases().len(), MANY);
    let step = MANY / SAMPLES;
    let sampled: Vec<usize> = (0..SAMPLES).map(|sample| sample * step).collect();
    for at in &sampled {
        all[*at].serves("neighbour");
    }
    for at in &sampled {
        let others = sampled.iter().filter(|other| *other != at).map(|other| &addresses[*other]);
        let tried: Vec<String> = others.flat_map(|(four, six)| flows(&[four, six], PORT)).collect();
        assert_eq!(all[*at].tries(&tried), [""; 0]);
        // The control: it answers, and it reaches somebody.
        let own = flows(&[&addresses[*at].0, &addresses[*at].1], PORT);
        assert_eq!(all[*at].tries(&own), own);
        let web = flows(&[super::internet::WEB.0], 80);
        assert_eq!(all[*at].tries(&web), web);
    }
    let begun = Instant::now();
    all.into_iter().for_each(Shell::ends);
    eprintln!("ended in {:.1} s", begun.elapsed().as_secs_f64());
    world.is_clean();
}

/// What the dead have left is taken away, and nothing of those who are just beginning or just ending.
#[test]
fn who_starts_beside_gc_keeps_its_network() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    const STARTS: usize = 20;
    const ROUNDS: usize = 3;
    let world = World::new();
    let web = flows(&[super::internet::WEB.0], 80);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collects = || {
            let (mut times, mut said) = (0, String::new());
            while !done.load(Ordering::Relaxed) {
                said += &run(&mut world.zviz(0, &["gc"])).ok();
                times += 1;
            }
            (times, said)
        };
        let collectors = [scope.spawn(collects), scope.spawn(collects)];
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..ROUNDS {
                std::thread::scope(|starts| {
                    let one = |at: usize| {
                        let (world, web, port) = (&world, &web, format!("{}:80", 18_000 + at));
                        starts.spawn(move || world.tries(0, &["--net", "bridge", "-p", &port], web))
                    };
                    let all: Vec<_> = (0..STARTS).map(one).collect();
                    all.into_iter().for_each(|start| assert_eq!(start.join().unwrap(), web));
                });
            }
        }));
        done.store(true, Ordering::Relaxed);
        for collector in collectors {
            let (times, said) = collector.join().unwrap();
            // They have run beside them, and had nothing of a sandbox's to take away.
            assert!(times > 0);
            assert!(!said.contains("sandbox ") && !said.contains("address "), "{said}");
        }
        if let Err(panic) = rounds {
            std::panic::resume_unwind(panic);
        }
    });
    run(&mut world.zviz(0, &["gc"])).ok();
    assert_eq!(run(&mut world.zviz(0, &["list", "-q"])).ok(), "");
    assert!(!world.internet.host.devices().contains(&"zviz0".to_owned()));
    world.is_clean();
}
