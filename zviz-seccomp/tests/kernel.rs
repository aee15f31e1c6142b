//! The kernel's answers: programs are loaded by a thread, for itself alone, which then makes the calls.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::personality::Persona;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Whence, lseek64};
use zviz_seccomp::{Action, Arch, Op, Policy, Rule, compile, default_policy, number_of};
use zviz_sys::seccomp::Instruction;

/// Runs `calls` in a thread under `policy`.
fn under<T: Send + 'static>(policy: &Policy, calls: impl FnOnce() -> T + Send + 'static) -> T {
    let program = compile(policy).unwrap().program;
    let instructions: Vec<Instruction> =
        program.instructions().iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let thread = std::thread::spawn(move || {
        nix::sys::prctl::set_no_new_privs().unwrap();
        assert!(zviz_sys::seccomp::load(&instructions, 0).unwrap().is_none());
        calls()
    });
    thread.join().unwrap()
}

#[test]
fn sixty_four_bit_comparisons() {
    const REFUSED: u16 = libc::ENOTUNIQ as u16;
    let words = [0u64, 1, 0x7fff_ffff, 0xffff_ffff];
    let values: Vec<u64> = words.iter().flat_map(|high| words.map(|low| (*high << 32) | low)).collect();
    let lseek = number_of("lseek", Arch::native()).unwrap();
    for op in [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt, Op::MaskedEq(0x1_0000_0001), Op::MaskedEq(0xffff_ffff)] {
        for value in [0x1_0000_0000, 0x7fff_ffff, 0xffff_ffff_ffff_ffff] {
            let mut policy = Policy::new(Action::Allow);
            policy.rules = vec![Rule::new(["lseek"], Action::Errno(REFUSED)).when(1, op, value)];
            let offsets = values.clone();
            let answers: Vec<bool> = under(&policy, move || {
                let file = File::open("/dev/null").unwrap();
                let seek = |offset: &u64| lseek64(file.as_fd(), *offset as i64, Whence::SeekSet);
                offsets.iter().map(|offset| seek(offset) == Err(Errno::ENOTUNIQ)).collect()
            });
            for (offset, refused) in values.iter().zip(answers) {
                let decided = policy.decide(Arch::native(), lseek, &[9, *offset, 0, 0, 0, 0]);
                assert_eq!(refused, decided == Action::Errno(REFUSED), "{op:x?} {value:#x} {offset:#x}");
            }
        }
    }
}

#[test]
fn the_default_policy_refuses() {
    let open =
        |family, kind, protocol: Option<SockProtocol>| socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).map(drop);
    // Without a filter it is allowed or EPERM, by privilege, but never unknown.
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp).map(drop);
    assert!(matches!(raw, Ok(()) | Err(Errno::EPERM)), "{raw:?}");
    under(&default_policy(), move || {
        assert_eq!(open(AddressFamily::Inet, SockType::Stream, None), Ok(()));
        assert_eq!(open(AddressFamily::Inet6, SockType::Datagram, Some(SockProtocol::Udp)), Ok(()));
        assert_eq!(open(AddressFamily::Unix, SockType::SeqPacket, None), Ok(()));
        assert_eq!(open(AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkRoute)), Ok(()));
        for (family, kind) in [
            (AddressFamily::Vsock, SockType::Stream),
            (AddressFamily::Packet, SockType::Raw),
            (AddressFamily::Inet, SockType::Raw),
            (AddressFamily::Alg, SockType::SeqPacket),
        ] {
            assert_eq!(open(family, kind, None), Err(Errno::EAFNOSUPPORT), "{family:?}");
        }
        let netfilter = open(AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkNetFilter));
        assert_eq!(netfilter, Err(Errno::EAFNOSUPPORT));
        let tcp = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
        assert_eq!(setsockopt(&tcp, sockopt::Mark, &1), Err(Errno::EPERM));
        assert_eq!(setsockopt(&tcp, sockopt::ReuseAddr, &true), Ok(()));

        for flag in [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWNS] {
            assert_eq!(unshare(flag), Err(Errno::EPERM), "{flag:?}");
        }
        assert_eq!(unshare(CloneFlags::CLONE_FILES), Ok(()));
        assert_eq!(setns(File::open("/proc/self/ns/uts").unwrap(), CloneFlags::empty()), Err(Errno::EPERM));
        let mount = nix::mount::mount(None::<&str>, "/", None::<&str>, nix::mount::MsFlags::MS_PRIVATE, None::<&str>);
        assert_eq!(mount, Err(Errno::EPERM));
        let node = mknod("/tmp/zviz-seccomp-null", SFlag::S_IFCHR, Mode::empty(), 0x103);
        assert_eq!(node, Err(Errno::EPERM));
        assert_eq!(nix::sys::personality::set(Persona::ADDR_NO_RANDOMIZE), Err(Errno::EPERM));
        assert!(nix::sys::personality::get().is_ok());
        assert!(std::thread::spawn(|| 7).join().is_ok_and(|seven| seven == 7), "clone3 falls back to clone");
    });
}

#[test]
fn a_call_newer_than_the_policy_does_not_exist() {
    // openat2 is 437 everywhere; the highest number that the first policy names is lower.
    let how = || nix::fcntl::openat2(nix::fcntl::AT_FDCWD, "/", nix::fcntl::OpenHow::new()).map(drop);
    assert_eq!(how(), Ok(()));
    let names: Vec<String> = (0..435).filter_map(|number| zviz_seccomp::name_of(number, Arch::native())).collect();
    let mut policy = Policy::new(Action::Errno(libc::EPERM as u16));
    policy.rules = vec![Rule::new(names, Action::Allow)];
    assert_eq!(under(&policy, how), Err(Errno::ENOSYS));
    policy.rules.push(Rule::new(["mseal"], Action::Allow));
    assert_eq!(under(&policy, how), Err(Errno::EPERM));
}
