//! What a call names, read where it begins: later its memory, its descriptors and its working folder may be others.

use crate::address::{self, Raw};
use crate::call::{Intent, Named, SocketAddress, arch_of};
use crate::table::{Address, Argument, Entry, Follow, OF_DESCRIPTORS, TABLE, Wants};
use crate::{memory, open, resolve};
use std::collections::HashMap;
use std::path::PathBuf;
use zviz_seccomp::name_of;

/// Of calls of the x32 table, asm/unistd.h.
const X32: u64 = 1 << 30;
/// No kernel has a call of such a number.
const NO_CALL: u64 = 1 << 16;

/// The table by number, for each architecture that was met.
#[derive(Default)]
pub struct Numbers(HashMap<(u32, u64), Option<&'static Entry>>);

impl Numbers {
    /// The entry of a call.
    pub fn entry(&mut self, arch: u32, number: u64) -> Option<&'static Entry> {
        // A program can make up any number, and each that is met is kept.
        if number & !X32 >= NO_CALL {
            return None;
        }
        *self.0.entry((arch, number)).or_insert_with(|| {
            let name = name_of(u32::try_from(number).ok()?, arch_of(arch, number)?)?;
            TABLE.iter().find(|entry| entry.name == name)
        })
    }
}

/// A path that was read and not looked up.
#[derive(Debug)]
pub struct Pending {
    text: Vec<u8>,
    /// What it is relative to; None if it is absolute, or what that is cannot be told.
    base: Option<PathBuf>,
    intent: Intent,
    follow: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    pub paths: Vec<Pending>,
    pub address: Option<Raw>,
    /// The descriptor that it gives is the file that it names.
    pub opens: bool,
}

/// Reads what the call names.
pub fn read(task: i32, entry: &Entry, args: &[u64; 6]) -> Read {
    let first = entry.paths.first().map(|argument| argument.wants);
    Read {
        paths: entry.paths.iter().filter_map(|argument| path(task, argument, args)).collect(),
        address: entry.address.and_then(|place| address(task, place, args)),
        opens: matches!(first, Some(Wants::Flags(_) | Wants::How(_) | Wants::Creat)),
    }
}

fn argument(args: &[u64; 6], which: u8) -> u64 {
    args.get(usize::from(which)).copied().unwrap_or(0)
}

/// Flags and descriptors are ints: what is in the upper half of the register is not theirs.
fn int(args: &[u64; 6], which: u8) -> i32 {
    argument(args, which) as i32
}

fn path(task: i32, wanted: &Argument, args: &[u64; 6]) -> Option<Pending> {
    let address = argument(args, wanted.text);
    // A null path stands for the descriptor itself where it may be one: utimensat(2), statx(2).
    let text = if address == 0 { Vec::new() } else { memory::text(task, address)? };
    let (intent, follow) = match wanted.wants {
        Wants::To(intent) => (intent, true),
        Wants::Flags(which) => open::intent(argument(args, which)),
        Wants::How(which) => open::intent(memory::word(task, argument(args, which))?),
        Wants::Creat => (Intent::Create, true),
    };
    let follow = follow
        && match wanted.follow {
            Follow::Yes => true,
            Follow::No => false,
            Follow::Unless(which, flag) => int(args, which) & flag == 0,
            Follow::If(which, flag) => int(args, which) & flag != 0,
        };
    let dir = wanted.dir.map(|which| int(args, which)).filter(|fd| *fd != libc::AT_FDCWD);
    if text.is_empty() && (dir.is_none() || intent == Intent::Metadata) {
        // Of an open file, of which nothing is learned; or an error.
        return None;
    }
    let base = match dir {
        _ if text.starts_with(b"/") => None,
        None => resolve::working_folder(task),
        Some(fd) => resolve::descriptor(task, fd),
    };
    Some(Pending { text, base, intent, follow })
}

fn address(task: i32, place: Address, args: &[u64; 6]) -> Option<Raw> {
    let (pointer, length) = match place {
        Address::At(pointer, length) => (argument(args, pointer), argument(args, length) & 0xffff_ffff),
        Address::Message(which) => {
            // msg_name and msg_namelen, first in the structure; sendmsg(2).
            let header = memory::bytes(task, argument(args, which), 16)?;
            let (name, rest) = header.split_first_chunk::<8>()?;
            let (length, _) = rest.split_first_chunk::<4>()?;
            (u64::from_ne_bytes(*name), u32::from_ne_bytes(*length).into())
        }
    };
    let length = usize::try_from(length).ok()?.min(address::LONGEST);
    if pointer == 0 {
        return None;
    }
    address::parse(&memory::bytes(task, pointer, length)?)
}

impl Pending {
    /// Looks it up; the call has ended.
    pub fn named(self, task: i32) -> Named {
        let path = resolve::resolve(task, self.base.as_deref(), &self.text, self.follow);
        Named { path, text: self.text, intent: self.intent }
    }
}

/// The file that a call was about which names none, where that is why it failed.
pub fn of_descriptor(task: i32, arch: u32, number: u64, args: &[u64; 6], result: i64) -> Option<Named> {
    let errno = i32::try_from(result.checked_neg()?).ok()?;
    let executes = errno == libc::EPERM;
    if !executes && !matches!(errno, libc::ENOSPC | libc::EDQUOT | libc::EFBIG) {
        return None;
    }
    let name = name_of(u32::try_from(number).ok()?, arch_of(arch, number)?)?;
    let (_, which, intent) = OF_DESCRIPTORS.iter().find(|(known, ..)| *known == name)?;
    let wanted = executes == (*intent == Intent::Execute);
    let path = wanted.then(|| resolve::descriptor(task, int(args, *which)))??;
    Some(Named { path, text: Vec::new(), intent: *intent })
}

/// Looks up where an address leads.
pub fn addressed(task: i32, raw: Raw) -> SocketAddress {
    match raw {
        Raw::Inet(address) => SocketAddress::Inet(address),
        Raw::Path(text) => {
            let base = if text.starts_with(b"/") { None } else { resolve::working_folder(task) };
            SocketAddress::UnixPath(resolve::resolve(task, base.as_deref(), &text, true))
        }
        Raw::Abstract(name) => SocketAddress::UnixAbstract(name),
        Raw::Other(family) => SocketAddress::Other(family),
    }
}
