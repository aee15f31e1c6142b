//! Packets that rules report: nfnetlink_log, of the network namespace in which it was opened.

pub mod packet;

use crate::attributes::{Attributes, Messages, Writing};
use crate::error::{Error, Result};
use crate::netfilter::{GENERAL, Netfilter};
use crate::netlink::said;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use packet::Packet;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_network::rules::GROUP;

/// Kinds of messages and attributes of linux/netfilter/nfnetlink_log.h.
const LOG: u16 = (libc::NFNL_SUBSYS_ULOG as u16) << 8;
const CONFIG: u16 = LOG | libc::NFULNL_MSG_CONFIG as u16;
const PACKET: u16 = LOG | libc::NFULNL_MSG_PACKET as u16;
const CONFIG_COMMAND: u16 = libc::NFULA_CFG_CMD as u16;
const CONFIG_MODE: u16 = libc::NFULA_CFG_MODE as u16;
const CONFIG_TIMEOUT: u16 = libc::NFULA_CFG_TIMEOUT as u16;
const CONFIG_AT_ONCE: u16 = libc::NFULA_CFG_QTHRESH as u16;
const BIND: u8 = libc::NFULNL_CFG_CMD_BIND as u8;
const COPY_PACKET: u8 = libc::NFULNL_COPY_PACKET as u8;
const PAYLOAD: u16 = libc::NFULA_PAYLOAD as u16;
const PREFIX: u16 = libc::NFULA_PREFIX as u16;

/// Bytes of a packet that are copied: the headers, and options before the ports.
const COPIED: u32 = 192;

/// How long a report waits for others, in hundredths of a second, and how many then go together.
const WAITS: u32 = 1;
const TOGETHER: u32 = 16;

/// Bytes of reports that wait to be read. More are lost, and counted.
const WAITING: usize = 512 << 10;

/// The most messages that one read takes.
const AT_ONCE: usize = 64;

/// What one rule has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The rule's, as [`zviz_network::rules::report::read`] takes it.
    pub prefix: String,
    /// The packet.
    pub packet: Packet,
}

/// How many groups are tried from [`GROUP`] on: containers of one network namespace have one each.
const GROUPS: u16 = 256;

/// Who listens at a group. A group has one listener.
#[derive(Debug)]
pub struct Reports {
    socket: Netfilter,
    group: u16,
    lost: u64,
}

impl Reports {
    /// Listens at the first group that nobody listens at, in the network namespace that this process is in.
    ///
    /// # Errors
    /// Others listen at all of them, and of the socket.
    pub fn open() -> Result<Reports> {
        let socket = Netfilter::open()?;
        // As much as the machine allows, where it is not that much.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &WAITING)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &WAITING));
        let mut last = Errno::EPERM;
        for group in GROUP..GROUP + GROUPS {
            match listen(&socket, group)? {
                None => return Ok(Reports { socket, group, lost: 0 }),
                Some(errno) => last = errno,
            }
            // Another's, or no right to any.
            if last != Errno::EPERM && last != Errno::EBUSY {
                break;
            }
        }
        Err(Error::new(format!("listen at a group of reports, from {GROUP} on: {}", last.desc())))
    }

    /// Where rules have to report.
    #[must_use]
    pub fn group(&self) -> u16 {
        self.group
    }

    /// What has been reported since the last time. Does not wait.
    ///
    /// # Errors
    /// Of the socket.
    pub fn read(&mut self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for _ in 0..AT_ONCE {
            match self.socket.receive() {
                Ok(None) => break,
                Ok(Some(bytes)) => reports.extend(parse(&bytes)),
                Err(error) if error.is(Errno::ENOBUFS) => self.lost = self.lost.saturating_add(1),
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    /// How often reports were lost since the last time, for there were too many: at least as many reports as this.
    pub fn lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// What the kernel has against it, if anything.
fn listen(socket: &Netfilter, group: u16) -> Result<Option<Errno>> {
    let message = |sequence| Writing::netfilter(CONFIG, libc::NLM_F_ACK, sequence, libc::AF_UNSPEC, group);
    // struct nfulnl_msg_config_mode: how much, what of it, padding.
    let mode = [&COPIED.to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
    let settings = message(2)
        .with(CONFIG_MODE, &mode)
        .with(CONFIG_TIMEOUT, &WAITS.to_be_bytes())
        .with(CONFIG_AT_ONCE, &TOGETHER.to_be_bytes());
    for request in [message(1).with(CONFIG_COMMAND, &[BIND]), settings] {
        socket.send(&request.bytes())?;
        let answer = socket.receive()?.unwrap_or_default();
        let answer = Messages(&answer).find_map(|message| said(&message));
        let answer = answer.ok_or_else(|| Error::new("nfnetlink_log does not answer"))?;
        if answer.errno.is_some() {
            return Ok(answer.errno);
        }
    }
    Ok(None)
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The reports in what was received. Those of packets that are none of IP are left out.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Report> {
    let packets = Messages(bytes).filter(|message| message.kind == PACKET);
    packets
        .filter_map(|message| {
            let attributes = Attributes(message.body.get(GENERAL..)?);
            let packet = packet::read(attributes.value(PAYLOAD)?)?;
            Some(Report { prefix: attributes.text(PREFIX).unwrap_or_default(), packet })
        })
        .collect()
}
