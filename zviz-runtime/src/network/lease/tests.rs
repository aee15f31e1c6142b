use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Barrier;

fn pool(count: u32) -> Pool {
    Pool { first: Ipv4Addr::new(10, 213, 0, 2), count, network6: "fd7a:7669:7a00::".parse().unwrap() }
}

fn holder(id: &str) -> Holder {
    Holder { id: id.into(), store: "/run/zviz".into(), pid: 1 }
}

fn open(root: &Path, count: u32) -> Leases {
    Leases::open(&root.join("leases"), pool(count)).unwrap()
}

fn files(leases: &Leases) -> usize {
    fs::read_dir(&leases.path).unwrap().count()
}

#[test]
fn looking_makes_no_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("leases");
    let looks = || Leases::existing(&root, pool(100)).unwrap();
    assert!(looks().is_none() && !root.exists());
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, PermissionsExt::from_mode(0o700)).unwrap();
    assert!(looks().is_none() && fs::read_dir(&root).unwrap().count() == 0);
    let _lease = open(scratch.path(), 100).take(&holder("a")).unwrap();
    assert_eq!(looks().unwrap().count().unwrap(), 1);
}

#[test]
fn each_has_its_own_and_gives_it_back() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 100);
    let first = leases.take(&holder("a")).unwrap();
    let same = leases.take(&holder("a")).unwrap();
    assert_ne!(first.address(), same.address());
    assert_eq!(same.address().to_bits(), leases.pool.six(same.address()).to_bits() as u32);
    assert_eq!(first.six().to_string(), format!("fd7a:7669:7a00::ad5:{:x}", first.address().to_bits() & 0xffff));
    assert!(!first.is_left());
    let address = first.address();
    drop(first);
    let again = leases.take(&holder("a")).unwrap();
    assert!(again.address() == address && !again.is_left(), "it was given back");
    drop((again, same));
    assert_eq!(files(&leases), 0);
}

#[test]
fn of_many_at_once_none_gets_what_another_has() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 300);
    let ready = Barrier::new(16);
    for _ in 0..3 {
        let of_thread = |thread: usize| {
            ready.wait();
            // From one begin on, so that they meet.
            let taken: Vec<Lease> = (0..15).map(|_| leases.take(&holder("one")).unwrap()).collect();
            drop((0..3).map(|_| leases.take(&holder(&thread.to_string())).unwrap()).collect::<Vec<_>>());
            taken
        };
        let taken: Vec<Lease> = std::thread::scope(|scope| {
            let of_thread = &of_thread;
            let threads: Vec<_> = (0..16).map(|thread| scope.spawn(move || of_thread(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let addresses: BTreeSet<_> = taken.iter().map(Lease::address).collect();
        assert_eq!(addresses.len(), 240);
        assert_eq!(leases.count().unwrap(), 240);
        drop(taken);
        assert_eq!(files(&leases), 0);
    }
}

#[test]
fn when_all_are_taken_it_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 5);
    let mut taken: Vec<_> = (0..5).map(|i| leases.take(&holder(&i.to_string())).unwrap()).collect();
    let error = leases.take(&holder("late")).unwrap_err().to_string();
    assert_eq!(error, "all 5 addresses of 10.213.0.2 to 10.213.0.6 are taken: that many sandboxes run at the bridge");
    let free = taken.pop().unwrap().address();
    assert_eq!(leases.take(&holder("late")).unwrap().address(), free);
}

/// What a process that is killed leaves: the file, and no lock.
fn killed(lease: Lease) {
    lease.file.unlock().unwrap();
    std::mem::forget(lease);
}

#[test]
fn what_the_dead_leave_is_taken_over_by_one() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 40);
    for round in 0..20 {
        let dead = leases.take(&holder("dead")).unwrap();
        let alive = leases.take(&holder("alive")).unwrap();
        let address = dead.address();
        killed(dead);
        let ready = Barrier::new(8);
        let results: Vec<(Vec<Lease>, Option<Lease>)> = std::thread::scope(|scope| {
            let (leases, ready) = (&leases, &ready);
            let one = move |thread: usize| {
                ready.wait();
                match thread % 2 {
                    0 => (leases.left().unwrap(), None),
                    _ => (Vec::new(), Some(leases.take(&holder("dead")).unwrap())),
                }
            };
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || one(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let all: Vec<&Lease> = results.iter().flat_map(|(left, taken)| left.iter().chain(taken)).collect();
        let who: Vec<_> = all.iter().filter(|lease| lease.is_left()).collect();
        assert_eq!(who.len(), 1, "round {round}");
        assert_eq!(who[0].address(), address);
        assert_eq!(who[0].left_by(), Some(&holder("dead")));
        assert!(all.iter().all(|lease| lease.address() != alive.address()));
        drop((results, alive));
        assert_eq!(files(&leases), 0);
    }
}

#[test]
fn what_is_kept_is_seen_by_the_next() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 5);
    let mut lease = leases.take(&holder("a")).unwrap();
    lease.keep();
    drop(lease);
    assert!(leases.take(&holder("a")).unwrap().is_left());
    assert!(leases.left().unwrap().is_empty());
}

#[test]
fn files_that_are_no_leases_are_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 5);
    for name in ["forwarding", "10.213.0.99", "10.213.0.1", "x"] {
        fs::write(leases.path.join(name), "x").unwrap();
    }
    assert!(leases.left().unwrap().is_empty());
    fs::write(leases.path.join("10.213.0.3"), "no holder").unwrap();
    let left = leases.left().unwrap();
    assert!(left.len() == 1 && left[0].is_left() && left[0].left_by().is_none());
    drop(left);
    assert_eq!(files(&leases), 4);
}

#[test]
fn the_folder_is_the_callers_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("leases");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(Leases::open(&root, pool(5)), Err(Error::Foreign { .. })));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    Leases::open(&root, pool(5)).unwrap();
    let link = scratch.path().join("link");
    symlink(&root, &link).unwrap();
    assert!(Leases::open(&link, pool(5)).is_err());
    let of_another = scratch.path().join("another");
    fs::create_dir(&of_another).unwrap();
    fs::set_permissions(&of_another, fs::Permissions::from_mode(0o700)).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&of_another, Some(1000), None).unwrap();
        assert!(matches!(Leases::open(&of_another, pool(5)), Err(Error::Foreign { .. })));
    }
}

#[test]
fn what_is_no_file_is_nobodys_lease() {
    let scratch = tempfile::tempdir().unwrap();
    let leases = open(scratch.path(), 5);
    let at = |last: u8| leases.path.join(format!("10.213.0.{last}"));
    fs::create_dir(at(2)).unwrap();
    symlink(scratch.path().join("elsewhere"), at(3)).unwrap();
    nix::unistd::mkfifo(&at(4), Mode::S_IRWXU).unwrap();
    let taken: Vec<Lease> = (0..2).map(|_| leases.take(&holder("a")).unwrap()).collect();
    let addresses: BTreeSet<_> = taken.iter().map(|lease| lease.address().octets()[3]).collect();
    assert_eq!(addresses, [5, 6].into());
    assert!(matches!(leases.take(&holder("a")), Err(Error::Exhausted { .. })));
    assert!(leases.left().unwrap().is_empty() && !scratch.path().join("elsewhere").exists());
}
