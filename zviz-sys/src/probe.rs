//! System calls that a sandbox ought to refuse, for a self-test that makes them: by number, with arguments of any kind.

use crate::{Errno, Result, ret};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most bytes that an argument has: a page of its own is what the kernel is given.
pub const ROOM: usize = 4096;

/// An argument.
#[derive(Debug)]
pub enum Arg<'a> {
    /// A number of at most 32 bits, with a sign or without.
    Int(i64),
    /// A descriptor.
    Fd(BorrowedFd<'a>),
    /// A string, which the kernel gets a copy of.
    Text(&'a CStr),
    /// Bytes, which the kernel gets a copy of, with zeroes after them.
    Bytes(&'a [u8]),
    /// Bytes that the kernel may change, with zeroes after them.
    Room(&'a mut [u8]),
}

/// The calls. None of them makes, moves or takes away memory of the caller, closes or replaces a descriptor, or has the
/// kernel keep an address to write to when it has returned.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    libc::SYS_acct, libc::SYS_add_key, libc::SYS_adjtimex, libc::SYS_bind, libc::SYS_bpf, libc::SYS_capset, libc::SYS_chroot,
    libc::SYS_clock_adjtime, libc::SYS_clock_settime, libc::SYS_clone, libc::SYS_clone3, libc::SYS_connect,
    libc::SYS_delete_module, libc::SYS_fanotify_init, libc::SYS_fchmodat, libc::SYS_fchownat, libc::SYS_finit_module,
    libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fsopen, libc::SYS_fspick, libc::SYS_init_module, libc::SYS_ioctl,
    libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_io_uring_setup, libc::SYS_ioprio_set, libc::SYS_kcmp,
    libc::SYS_kexec_file_load, libc::SYS_kexec_load, libc::SYS_keyctl, libc::SYS_kill, libc::SYS_lookup_dcookie,
    libc::SYS_mbind, libc::SYS_memfd_create, libc::SYS_memfd_secret, libc::SYS_migrate_pages, libc::SYS_mknodat,
    libc::SYS_mount, libc::SYS_mount_setattr, libc::SYS_move_mount, libc::SYS_move_pages, libc::SYS_msgctl, libc::SYS_msgget,
    libc::SYS_name_to_handle_at, libc::SYS_nfsservctl, libc::SYS_open_by_handle_at, libc::SYS_open_tree, libc::SYS_openat,
    libc::SYS_openat2, libc::SYS_perf_event_open, libc::SYS_personality, libc::SYS_pidfd_getfd, libc::SYS_pidfd_open,
    libc::SYS_pivot_root, libc::SYS_prctl, libc::SYS_prlimit64, libc::SYS_process_vm_readv, libc::SYS_ptrace,
    libc::SYS_quotactl, libc::SYS_quotactl_fd, libc::SYS_reboot, libc::SYS_request_key, libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr, libc::SYS_sched_setscheduler, libc::SYS_semget, libc::SYS_set_mempolicy, libc::SYS_setdomainname,
    libc::SYS_setgid, libc::SYS_setgroups, libc::SYS_sethostname, libc::SYS_setns, libc::SYS_setpriority,
    libc::SYS_setsockopt, libc::SYS_settimeofday, libc::SYS_setuid, libc::SYS_setxattr, libc::SYS_shmget, libc::SYS_socket,
    libc::SYS_socketpair, libc::SYS_swapoff, libc::SYS_swapon, libc::SYS_syslog, libc::SYS_truncate, libc::SYS_umount2,
    libc::SYS_unshare, libc::SYS_userfaultfd, libc::SYS_vhangup, LISTMOUNT, LSM_SET_SELF_ATTR, OPEN_TREE_ATTR,
    SET_MEMPOLICY_HOME_NODE, LISTNS, UNKNOWN,
];

/// Of x86-64 alone. Its getpid is here to be made by way of other tables.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const MACHINE: &[libc::c_long] = &[
    libc::SYS_getpid, libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt, libc::SYS_sysfs, libc::SYS_uselib, libc::SYS_ustat,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const MACHINE: &[libc::c_long] = &[];

/// set_mempolicy_home_node(2): these have one number on every machine.
pub const SET_MEMPOLICY_HOME_NODE: libc::c_long = 450;
/// listmount(2)
pub const LISTMOUNT: libc::c_long = 458;
/// lsm_set_self_attr(2)
pub const LSM_SET_SELF_ATTR: libc::c_long = 460;
/// open_tree_attr(2)
pub const OPEN_TREE_ATTR: libc::c_long = 467;
/// listns(2)
pub const LISTNS: libc::c_long = 470;
/// A number that no kernel has given to a call, and that no table is long enough for.
pub const UNKNOWN: libc::c_long = 900;
/// What the numbers of the x32 table have set, beside a number of the native one. syscall(2).
pub const X32: libc::c_long = 0x4000_0000;

/// Makes one call, what is not given being zero. A `clone` returns twice, 0 in the new process.
///
/// # Errors
/// What the call says. EINVAL for a number that is not in the list, for more than six arguments, for `clone` with shared
/// memory, and for an argument that is too long or a number of more than 32 bits.
pub fn call(number: libc::c_long, args: &mut [Arg<'_>]) -> Result<i64> {
    let base = number & !X32;
    if !(CALLS.contains(&base) || MACHINE.contains(&base)) || args.len() > 6 {
        return Err(Errno::EINVAL);
    }
    let shares_memory =
        |arg: Option<&Arg<'_>>| matches!(arg, Some(Arg::Int(flags)) if flags & i64::from(libc::CLONE_VM) != 0);
    if base == libc::SYS_clone && shares_memory(args.first()) {
        return Err(Errno::EINVAL);
    }
    // Twice a page, so that what the kernel writes from the end of an argument on is here too.
    let mut rooms = [[0u8; 2 * ROOM]; 6];
    let mut words = [0u64; 6];
    for ((arg, room), word) in args.iter().zip(&mut rooms).zip(&mut words) {
        let bytes: &[u8] = match arg {
            Arg::Int(value) => {
                let fits = i32::try_from(*value).is_ok() || u32::try_from(*value).is_ok();
                *word = if fits { *value as u64 } else { return Err(Errno::EINVAL) };
                continue;
            }
            Arg::Fd(fd) => {
                *word = fd.as_raw_fd() as u64;
                continue;
            }
            Arg::Text(text) => text.to_bytes_with_nul(),
            Arg::Bytes(bytes) => bytes,
            Arg::Room(bytes) => bytes,
        };
        room.get_mut(..bytes.len().min(ROOM + 1))
            .filter(|part| part.len() <= ROOM)
            .ok_or(Errno::EINVAL)?
            .copy_from_slice(bytes);
        *word = room.as_mut_ptr() as u64;
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: the number is one of the list, none of which touches memory or descriptors that are not its arguments.
    // Pointers are to rooms that are longer than any structure of these calls. Integers have 32 bits: below 2^32, and above
    // 2^64 - 2^31, a position-independent program of 64 bits has nothing mapped, so that one in a pointer's place is EFAULT.
    // A clone without shared memory returns as fork(2) does.
    let value = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let value = ret(value)?;
    for (arg, room) in args.iter_mut().zip(&rooms) {
        if let Arg::Room(bytes) = arg {
            let length = bytes.len();
            bytes.copy_from_slice(room.get(..length).unwrap_or_default());
        }
    }
    Ok(value)
}

/// getpid by interrupt 0x80 of x86: i386's table, from 64-bit code. ENOSYS on another machine.
///
/// # Errors
/// What the kernel says. A filter may end the process.
pub fn getpid_i386() -> Result<i64> {
    crate::victim::getpid_i386()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_called() {
        assert_eq!(call(libc::SYS_munmap, &mut [Arg::Int(0)]), Err(Errno::EINVAL));
        assert_eq!(call(libc::SYS_socket, &mut [Arg::Int(1 << 40)]), Err(Errno::EINVAL));
        assert_eq!(call(libc::SYS_clone, &mut [Arg::Int(i64::from(libc::CLONE_VM))]), Err(Errno::EINVAL));
        assert_eq!(call(libc::SYS_mount, &mut [Arg::Bytes(&[0; ROOM + 1])]), Err(Errno::EINVAL));
        assert_eq!(call(libc::SYS_kill, &mut [Arg::Int(i64::from(std::process::id())), Arg::Int(0)]), Ok(0));
    }

    #[test]
    fn what_the_kernel_writes_comes_back() {
        let mut old = [0xffu8; 16];
        let limit = i64::from(libc::RLIMIT_NOFILE);
        assert_eq!(
            call(libc::SYS_prlimit64, &mut [Arg::Int(0), Arg::Int(limit), Arg::Int(0), Arg::Room(&mut old)]),
            Ok(0)
        );
        assert_ne!(old, [0xff; 16]);
    }
}
