//! Whatever dies when, nothing is left after it.

use super::internet::wait_for;
use super::sandboxes::{USER, World};
use super::support::{requires, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

/// How often something is killed, each time a little later.
const DEATHS: u32 = 56;

/// Children of a process, in this pid namespace.
fn children(pid: u32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn deaths_at_any_time_leave_nothing() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    for death in 0..DEATHS {
        let (user, net) = [(0, "bridge"), (0, "bridge"), (0, "pasta"), (USER, "pasta")][death as usize % 4];
        let mut command = world.run(user, &["--net", net, "-p", "8080:80"], &["sleep", "1000"]);
        let mut zviz = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(u64::from(death * 37 % 500)));
        // The runtime in most cases; else whatever it has started last: init, a helper, pasta.
        let child = children(zviz.id()).pop().filter(|_| death % 3 == 2);
        match child {
            // It is the runtime's, which has not reaped it.
            Some(child) => drop(kill(Pid::from_raw(child), Signal::SIGKILL)),
            None => zviz.kill().unwrap(),
        }
        if child.is_some() && user == 0 && net == "pasta" || child.is_some() && user != 0 {
            // The death of pasta ends nobody: the sandbox has no way out any more.
            sleep(Duration::from_millis(300));
            zviz.kill().unwrap();
        }
        zviz.wait().unwrap();
        wait_for("the end of pasta", || world.pastas().is_empty());
        let said = run(&mut world.zviz(user, &["gc"]));
        assert_eq!(said.code, 0, "death {death}: {said}");
        // What waits for the kernel to take its processes away.
        wait_for("nothing", || {
            run(&mut world.zviz(user, &["gc"])).ok();
            run(&mut world.zviz(user, &["list", "-q"])).ok().is_empty()
        });
        world.is_clean();
    }
    // Nobody is at the bridge, and its rules go with it.
    assert!(!world.internet.host.devices().contains(&"zviz0".to_owned()));
    assert_eq!(world.internet.host.tables(), [""; 0]);
}

#[test]
fn what_a_power_loss_leaves_is_found() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let mut dead = world.shell(0, &["--net", "bridge", "-p", "8080:80", "--id", "dead"]);
    let mut alive = world.shell(0, &["--net", "bridge", "-p", "8081:80", "--id", "alive"]);
    let (address, kept) = (dead.addresses().0, alive.addresses().0);
    dead.is_killed();
    wait_for("its end", || run(&mut world.zviz(0, &["list"])).ok().contains("stopped"));
    let table = |address: &str| {
        let four: std::net::Ipv4Addr = address.parse().unwrap();
        format!("zviz-p-{:08x}", four.to_bits())
    };
    // As if state and leases had been on a disk that was lost: names alone are left.
    fs::remove_dir_all(world.root(0).join("dead")).unwrap();
    let only = run(&mut world.zviz(0, &["gc", "--dry-run"])).ok();
    assert!(only.contains(&format!("would remove address {address}")) && only.contains("of dead in"), "{only}");
    assert!(!only.contains(&kept) && !only.contains("bridge"), "{only}");
    assert!(world.internet.host.tables().contains(&table(&address)), "only looked at");
    let said = run(&mut world.zviz(0, &["gc"])).ok();
    assert!(said.contains(&format!("removed address {address}")), "{said}");
    assert_eq!(run(&mut world.zviz(0, &["gc"])).ok(), "");
    assert!(!world.internet.host.tables().contains(&table(&address)));
    assert!(world.internet.host.tables().contains(&table(&kept)));
    assert_eq!(world.leases(), [kept]);
    assert_eq!(alive.does("echo x"), "x\n");
    // The next sandbox takes away what is left, too.
    let mut other = world.shell(0, &["--net", "bridge", "-p", "8082:80", "--id", "other"]);
    let left = other.addresses().0;
    other.is_killed();
    wait_for("its end", || run(&mut world.zviz(0, &["list"])).ok().contains("stopped"));
    run(&mut world.run(0, &["--net", "bridge"], &["true"])).ok();
    assert!(!world.internet.host.tables().contains(&table(&left)));
    run(&mut world.zviz(0, &["delete", "other"])).ok();
    alive.ends();
    world.is_clean();
}
