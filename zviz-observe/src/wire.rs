//! How calls travel from the tracer to the runtime: lengths, then what is as long.

use crate::call::{Call, Intent, Named, SocketAddress};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// More than any call needs: the longest names two paths, twice.
const LONGEST: usize = 64 << 10;

/// What a tracer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    Call(Call),
    /// Everything has ended: the most tasks at one time, and the most memory of one process in bytes.
    End(u64, u64),
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }
}

/// Writes one.
pub fn write(out: &mut impl Write, word: &Word) -> io::Result<()> {
    let mut frame = Writer(Vec::with_capacity(256));
    match word {
        Word::End(tasks, memory) => {
            frame.number(0);
            frame.number(*tasks);
            frame.number(*memory);
        }
        Word::Call(call) => {
            frame.number(1);
            encode(&mut frame, call);
        }
    }
    out.write_all(&(frame.0.len() as u64).to_le_bytes())?;
    out.write_all(&frame.0)
}

fn encode(frame: &mut Writer, call: &Call) {
    frame.number(i64::from(call.pid).cast_unsigned());
    frame.path(&call.program);
    frame.number(call.arch.into());
    frame.number(call.number);
    call.args.iter().for_each(|arg| frame.number(*arg));
    frame.number(call.result.cast_unsigned());
    frame.number(call.paths.len() as u64);
    for named in &call.paths {
        frame.path(&named.path);
        frame.bytes(&named.text);
        frame.number(named.intent as u64);
    }
    match &call.address {
        None => frame.number(0),
        Some(SocketAddress::Inet(address)) => {
            frame.number(if address.is_ipv4() { 1 } else { 2 });
            let ip = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            frame.bytes(&ip.octets());
            frame.number(address.port().into());
        }
        Some(SocketAddress::UnixPath(path)) => {
            frame.number(3);
            frame.path(path);
        }
        Some(SocketAddress::UnixAbstract(name)) => {
            frame.number(4);
            frame.bytes(name);
        }
        Some(SocketAddress::Other(family)) => {
            frame.number(5);
            frame.number((*family).into());
        }
    }
}

/// Reads one; None where they end.
pub fn read(from: &mut impl Read) -> io::Result<Option<Word>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    decode(&mut &frame[..]).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn number(frame: &mut &[u8]) -> Option<u64> {
    let (number, rest) = frame.split_first_chunk::<8>()?;
    *frame = rest;
    Some(u64::from_le_bytes(*number))
}

fn bytes(frame: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(number(frame)?).ok()?;
    let (bytes, rest) = frame.split_at_checked(length)?;
    *frame = rest;
    Some(bytes.to_vec())
}

fn path(frame: &mut &[u8]) -> Option<PathBuf> {
    bytes(frame).map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
}

fn decode(frame: &mut &[u8]) -> Option<Word> {
    if number(frame)? == 0 {
        return Some(Word::End(number(frame)?, number(frame)?));
    }
    let pid = i32::try_from(number(frame)?.cast_signed()).ok()?;
    let program = path(frame)?;
    let arch = u32::try_from(number(frame)?).ok()?;
    let call = number(frame)?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = number(frame)?;
    }
    let result = number(frame)?.cast_signed();
    let mut paths = Vec::new();
    for _ in 0..number(frame)? {
        let (path, text) = (path(frame)?, bytes(frame)?);
        let intent = *Intent::ALL.get(usize::try_from(number(frame)?).ok()?)?;
        paths.push(Named { path, text, intent });
    }
    let address = match number(frame)? {
        0 => None,
        kind @ (1 | 2) => {
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes(frame)?).ok()?);
            let ip = if kind == 1 { IpAddr::V4(ip.to_ipv4_mapped()?) } else { IpAddr::V6(ip) };
            Some(SocketAddress::Inet(SocketAddr::new(ip, u16::try_from(number(frame)?).ok()?)))
        }
        3 => Some(SocketAddress::UnixPath(path(frame)?)),
        4 => Some(SocketAddress::UnixAbstract(bytes(frame)?)),
        _ => Some(SocketAddress::Other(u16::try_from(number(frame)?).ok()?)),
    };
    Some(Word::Call(Call { pid, program, arch, number: call, args, result, paths, address }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_sent() {
        let mut calls = Vec::new();
        let addresses = [
            None,
            Some(SocketAddress::Inet("127.0.0.1:80".parse().expect("an address"))),
            Some(SocketAddress::Inet("[::1]:443".parse().expect("an address"))),
            Some(SocketAddress::UnixPath("/run/x".into())),
            Some(SocketAddress::UnixAbstract(b"\xff\0".to_vec())),
            Some(SocketAddress::Other(16)),
        ];
        for (address, intent) in addresses.into_iter().cycle().zip(Intent::ALL) {
            let path = PathBuf::from(OsString::from_vec(b"/a\xff".to_vec()));
            let paths = vec![Named { path: path.clone(), text: b"a\xff".to_vec(), intent }];
            let args = [1, 2, 3, 4, 5, u64::MAX];
            let result = Call::UNFINISHED;
            let call = Call { pid: 7, program: path, arch: 0xc000_003e, number: 59, args, result, paths, address };
            calls.push(Word::Call(call));
        }
        calls.push(Word::End(3, 1 << 30));
        let mut sent = Vec::new();
        for call in &calls {
            write(&mut sent, call).expect("a word");
        }
        let mut from = &sent[..];
        for call in calls {
            assert_eq!(read(&mut from).expect("a word"), Some(call));
        }
        assert_eq!(read(&mut from).expect("the end"), None);
        assert!(read(&mut &[255u8; 16][..]).is_err());
    }
}
