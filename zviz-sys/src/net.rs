//! The loopback link.

use crate::{Result, owned, ret};
use std::os::fd::AsRawFd;

/// Brings `lo` of the current network namespace up. netdevice(7) SIOCSIFFLAGS.
pub fn bring_loopback_up() -> Result<()> {
    // SAFETY: integers only.
    let socket = owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into())?;
    // SAFETY: all-zero bytes are a valid ifreq: integers, and a union of plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    #[allow(clippy::cast_possible_truncation)] // IFF_UP | IFF_RUNNING fit in 16 bits
    {
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    }
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    ret(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) }.into()).map(drop)
}
