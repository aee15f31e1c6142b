//! What is sent. A message is copied whole, with its address, its control messages and the descriptors in them, and a hand
//! sends the copy: its header lies in memory, so that nothing less can be decided about without a race. `sendto` without
//! an address is let run by its registers; filters of ours do not even ask about it.
//!
//! What differs from the kernel's own sendmsg(2):
//! - One message has at most 64 KiB of data. A stream takes the first 64 KiB, and the caller sends the rest, as after any
//!   short write; a larger datagram fails with EMSGSIZE (UDP's largest is smaller).
//! - `sendmmsg` sends one message and says so.
//! - At most 24 descriptors are passed, above that ETOOMANYREFS; one that was opened with O_PATH cannot be (EBADF).
//! - SCM_CREDENTIALS are left out. A peer that asks for them gets the caller's ids from the kernel, and process number 0.
//! - Control messages that could lead a packet elsewhere (routing headers, source routes), and any that are not known here,
//!   fail with EOPNOTSUPP; MSG_ZEROCOPY fails with ENOBUFS, on which programs copy.

use super::address::Way;
use super::{Judged, RULE, decide};
use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::{Held, Seen};
use crate::policy::Policy;
use crate::policy::sockets::Sockets;
use nix::errno::Errno;
use std::borrow::Cow;
use zviz_sys::socket::ADDRESS_MAX;

/// Data of one message, in bytes: more than UDP's 65,527.
pub const DATA_MAX: usize = 64 << 10;
/// Control messages, in bytes: with 24 descriptors and every option there is room to spare.
const CONTROL_MAX: usize = 2048;
/// Descriptors that one message passes; the caller's directory and socket travel with them (`rights::MOST`).
const PASSED_MAX: usize = 24;
/// UIO_MAXIOV.
const PARTS_MAX: u64 = 1024;
/// `struct msghdr`, and where the length of `struct mmsghdr` is.
const HEADER: usize = 56;
/// `struct cmsghdr`.
const CONTROL_HEADER: usize = 16;
/// linux/socket.h.
const MSG_ZEROCOPY: u32 = 0x400_0000;

/// Sent without an address: on a connection, or by a netlink socket to the kernel.
pub const NO_ADDRESS: &str = "sockets: no address";

/// Control messages that say how a packet is sent, and not where to: level and type. SOL_SOCKET: SO_PRIORITY, SO_MARK,
/// SO_TIMESTAMPING (old and new), SCM_TXTIME, SCM_TS_OPT_ID. IPPROTO_IP: IP_TOS, IP_TTL, IP_PKTINFO. IPPROTO_IPV6:
/// IPV6_PKTINFO, IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_DONTFRAG, and the first two of RFC 2292. IPPROTO_UDP: UDP_SEGMENT.
const HARMLESS: &[(i32, &[i32])] =
    &[(1, &[12, 36, 37, 61, 65, 81]), (0, &[1, 2, 8]), (41, &[50, 52, 67, 62, 2, 8]), (17, &[103])];

type Refused = (Errno, Cow<'static, str>);

/// sendto(2): socket, data, their length, flags, address, its length.
pub fn sendto(policy: &Policy, held: Held<'_>) -> Decision {
    if held.long(4) == 0 {
        return held.let_run(NO_ADDRESS);
    }
    let flags = held.int(3);
    let mut seen = held.look();
    let mut told = None;
    let work = (|| {
        let sockets = policy.sockets.as_ref().ok_or((Errno::EACCES, RULE.into()))?;
        let length = usize::try_from(seen.int(5)).ok().filter(|length| *length <= ADDRESS_MAX);
        let address = seen.bytes(4, length.ok_or((Errno::EINVAL, RULE.into()))?).map_err(of_call)?;
        let (work, rule) = addressed(sockets, Some(address), &mut told)?;
        let length = usize::try_from(seen.long(2)).unwrap_or(usize::MAX);
        let data = seen.bytes(1, length.min(DATA_MAX)).map_err(of_call)?;
        finish(work, rule, (flags, seen.descriptor(0)), data, length > DATA_MAX)
    })();
    answer(work, told, Step::Do)
}

/// sendmsg(2): socket, header, flags.
pub fn sendmsg(policy: &Policy, held: Held<'_>) -> Decision {
    let mut seen = held.look();
    let (mut told, flags) = (None, seen.int(2));
    let work = message(policy, &mut seen, flags, &mut told);
    answer(work, told, Step::Do)
}

/// sendmmsg(2): socket, headers with lengths behind them, how many, flags.
pub fn sendmmsg(policy: &Policy, held: Held<'_>) -> Decision {
    if held.int(2) == 0 {
        return held.let_run(NO_ADDRESS);
    }
    let mut seen = held.look();
    let (mut told, flags) = (None, seen.int(3));
    let Some(count) = seen.long(1).checked_add(HEADER as u64) else { return Decision::refuse(Errno::EFAULT, RULE) };
    let work = message(policy, &mut seen, flags, &mut told);
    answer(work, told, |work| Step::Count(work, count))
}

/// The message whose header the second argument points to.
fn message(
    policy: &Policy,
    seen: &mut Seen<'_>,
    flags: u32,
    told: &mut Option<Vec<u8>>,
) -> Result<(Work, Cow<'static, str>), Refused> {
    let sockets = policy.sockets.as_ref().ok_or((Errno::EACCES, RULE.into()))?;
    let header = seen.bytes(1, HEADER).map_err(of_call)?;
    let word = |at: usize| header.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes);
    let [name, length, parts, count, control, control_length] = [0, 8, 16, 24, 32, 40].map(word);
    let address = match (length & 0xffff_ffff) as u32 {
        _ if name == 0 => None,
        0 => None,
        length if length.cast_signed() < 0 => return Err(of_call(Errno::EINVAL)),
        // What is behind is not looked at (__copy_msghdr).
        length => Some(seen.bytes_at(name, ADDRESS_MAX.min(length as usize)).map_err(of_call)?),
    };
    let (mut work, rule) = addressed(sockets, address, told)?;
    if count > PARTS_MAX {
        return Err(of_call(Errno::EMSGSIZE));
    }
    let (data, more) = gather(seen, parts, count as usize).map_err(of_call)?;
    if control_length > 0 {
        let length = usize::try_from(control_length).ok().filter(|length| *length <= CONTROL_MAX);
        let given = seen.bytes_at(control, length.ok_or((Errno::ENOBUFS, RULE.into()))?).map_err(of_call)?;
        let (kept, passed) = sort(&given).map_err(|errno| (errno, "sockets: control messages".into()))?;
        work.texts[3] = Some(kept).filter(|kept| !kept.is_empty());
        work.passed = passed;
    }
    finish(work, rule, (flags, seen.descriptor(0)), data, more)
}

/// The data that parts point to, as much as is taken, and whether there are more.
fn gather(seen: &mut Seen<'_>, parts: u64, count: usize) -> Result<(Vec<u8>, bool), Errno> {
    let vector = seen.bytes_at(parts, count * 16)?;
    let mut data = Vec::new();
    for part in vector.chunks_exact(16) {
        let (base, length) = part.split_at(8);
        let word = |word: &[u8]| word.try_into().map_or(0, u64::from_ne_bytes);
        let (base, length) = (word(base), word(length));
        if length.cast_signed() < 0 {
            return Err(Errno::EINVAL);
        }
        let room = DATA_MAX - data.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        data.extend(seen.bytes_at(base, length.min(room))?);
        if length > room {
            return Ok((data, true));
        }
    }
    Ok((data, false))
}

/// Control messages that are kept as they are, and the descriptors in them.
fn sort(mut control: &[u8]) -> Result<(Vec<u8>, Vec<i32>), Errno> {
    let (mut kept, mut passed) = (Vec::new(), Vec::new());
    // What is shorter than a header is not looked at (CMSG_FIRSTHDR).
    while control.len() >= CONTROL_HEADER {
        let number = |at: usize| control.get(at..at + 4).and_then(|n| n.try_into().ok()).map_or(0, i32::from_ne_bytes);
        let length = control.get(..8).and_then(|n| n.try_into().ok()).map_or(0, usize::from_ne_bytes);
        let whole = control.get(..length).filter(|whole| whole.len() >= CONTROL_HEADER).ok_or(Errno::EINVAL)?;
        let (level, kind, data) = (number(8), number(12), whole.get(CONTROL_HEADER..).unwrap_or_default());
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                let (numbers, _) = data.as_chunks::<4>();
                passed.extend(numbers.iter().map(|number| i32::from_ne_bytes(*number)));
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {}
            _ if HARMLESS.iter().any(|(known, kinds)| *known == level && kinds.contains(&kind)) => {
                kept.extend_from_slice(whole);
                kept.resize(kept.len().next_multiple_of(8), 0);
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        control = control.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    if passed.len() > PASSED_MAX { Err(Errno::ETOOMANYREFS) } else { Ok((kept, passed)) }
}

/// A message to an address, or to none.
fn addressed(
    sockets: &Sockets,
    address: Option<Vec<u8>>,
    told: &mut Option<Vec<u8>>,
) -> Result<(Work, Cow<'static, str>), Refused> {
    let Some(address) = address else { return Ok((Work::new(Op::Send), NO_ADDRESS.into())) };
    *told = Some(address.clone());
    match decide(sockets, Way::Send, address) {
        Judged::Refused(errno, rule) => Err((errno, rule)),
        Judged::Allowed { address, path, rule } => {
            Ok((Work { texts: [Some(address), path, None, None], ..Work::new(Op::Send) }, rule))
        }
    }
}

fn finish(
    mut work: Work,
    rule: Cow<'static, str>,
    (flags, socket): (u32, i32),
    data: Vec<u8>,
    more: bool,
) -> Result<(Work, Cow<'static, str>), Refused> {
    if flags & MSG_ZEROCOPY != 0 {
        return Err((Errno::ENOBUFS, "sockets: zero copy".into()));
    }
    work.numbers = [u64::from(flags), u64::from(more), 0, 0];
    work.texts[2] = Some(data);
    work.descriptor = Some(socket);
    Ok((work, rule))
}

fn of_call(errno: Errno) -> Refused {
    (errno, RULE.into())
}

fn answer(
    work: Result<(Work, Cow<'static, str>), Refused>,
    told: Option<Vec<u8>>,
    step: impl FnOnce(Work) -> Step,
) -> Decision {
    let told = told.map(|address| ("address", Argument::Address(address)));
    let decision = match work {
        Ok((work, rule)) => Decision::new(step(work), rule),
        Err((errno, rule)) => Decision::refuse(errno, rule),
    };
    decision.seeing(told.into_iter().collect())
}

#[cfg(test)]
mod tests;
