//! What a status file of proc says of who may do what. proc_pid_status(5).

use super::proc::read_all;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// Ids and capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// Real, effective, saved, file system.
    pub(super) uids: [u32; 4],
    pub(super) gids: [u32; 4],
    pub(super) groups: Vec<u32>,
    pub(super) effective: u64,
    pub(super) permitted: u64,
}

/// The rights and the umask in a status file.
pub(super) fn read_status(file: &OwnedFd) -> Result<(Rights, u32), Errno> {
    parse_status(&read_all(file)?).ok_or(Errno::EINVAL)
}

/// As `read_status`, of its text; none where something is missing.
pub(super) fn parse_status(text: &str) -> Option<(Rights, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let numbers = |name: &str| -> Option<Vec<u32>> {
        field(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    };
    let hex = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    let rights = Rights {
        uids: numbers("Uid")?.try_into().ok()?,
        gids: numbers("Gid")?.try_into().ok()?,
        groups: numbers("Groups")?,
        effective: hex("CapEff")?,
        permitted: hex("CapPrm")?,
    };
    Some((rights, u32::from_str_radix(field("Umask")?, 8).ok()?))
}

/// The umask in the beginning of a status file; none where it does not hold the whole line.
pub(super) fn umask_in(begin: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(begin);
    let (_, later) = text.split_once("\nUmask:")?;
    let (mask, _) = later.split_once('\n')?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_or_refused() {
        let text = "Umask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapPrm:\t00f0\nCapEff:\t0010\n";
        let (rights, umask) = parse_status(text).unwrap();
        assert_eq!((umask, rights.uids, rights.groups), (0o22, [1, 2, 3, 4], vec![9, 10]));
        assert_eq!((rights.effective, rights.permitted), (0x10, 0xf0));
        for line in text.lines() {
            assert!(parse_status(&text.replace(line, "")).is_none(), "{line}");
        }
    }

    #[test]
    fn a_umask_is_read_from_a_whole_line() {
        assert_eq!(umask_in(b"Name:\tUmask: 7\\nUmask:\nUmask:\t0027\nSta"), Some(0o27));
        assert_eq!(umask_in(b"Name:\tgr\xc3\nUmask:\t0027\nSta"), Some(0o27));
        for other in [&b"Name:\ta\nUmask:\t002"[..], b"Name:\ta\n", b"Umask:\t0022\n", b"\nUmask:\t9\n"] {
            assert_eq!(umask_in(other), None);
        }
    }
}
