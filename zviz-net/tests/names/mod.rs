//! A resolver outside that is the test's own, and programs that ask from within a container.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part, and a panic is how tests fail")]

pub mod sandbox;

use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Where the resolver outside listens, in the test's host.
pub const OUTSIDE: &str = "127.0.0.1:5300";

/// What has been asked outside: `name type`.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// Answers on UDP and TCP, from the calling thread's network namespace, until the test ends. `answer` is given the question, the
/// packet and whether it came on a stream, and gives packets, each of which is sent.
pub fn outside(answer: impl Fn(&str, &[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Asked {
    let asked = Asked::default();
    let answer = Arc::new(answer);
    let (udp, tcp) = (UdpSocket::bind(OUTSIDE).unwrap(), TcpListener::bind(OUTSIDE).unwrap());
    let (heard, says) = (Arc::clone(&asked), Arc::clone(&answer));
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            for packet in says(&note(&buffer[..length], &heard), &buffer[..length], false) {
                let _ = udp.send_to(&packet, from);
            }
        }
    });
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let Some(packet) = framed(&mut stream) else { continue };
            for packet in answer(&note(&packet, &heard), &packet, true) {
                let length = u16::try_from(packet.len()).unwrap();
                let _ = stream.write_all(&[&length.to_be_bytes()[..], &packet].concat());
            }
        }
    });
    asked
}

fn note(packet: &[u8], asked: &Asked) -> String {
    let packet = Packet::parse(packet).unwrap();
    let question = &packet.questions[0];
    let name = question.qname.to_string();
    asked.lock().unwrap().push(format!("{name} {}", u16::from(question.qtype)));
    name
}

fn framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut packet).ok()?;
    Some(packet)
}

/// The answer to a packet: what of these records is of the type that was asked for, or an alias.
pub fn answer(to: &[u8], records: &[(&str, u32, &str)]) -> Vec<u8> {
    let asked = Packet::parse(to).unwrap();
    let question = asked.questions[0].clone();
    let mut reply = Packet::new_reply(asked.id());
    for (owner, ttl, data) in records {
        let data = match data.parse() {
            Ok(IpAddr::V4(four)) => RData::A(A { address: four.to_bits() }),
            Ok(IpAddr::V6(six)) => RData::AAAA(AAAA { address: six.to_bits() }),
            Err(_) => RData::CNAME(CNAME(Name::new(data).unwrap())),
        };
        let kind = data.type_code();
        if kind == TYPE::CNAME || question.qtype == QTYPE::TYPE(kind) {
            reply.answers.push(ResourceRecord::new(Name::new(owner).unwrap(), CLASS::IN, *ttl, data));
        }
    }
    reply.questions.push(question);
    reply.build_bytes_vec_compressed().unwrap()
}

/// What a program was told.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub code: RCODE,
    pub truncated: bool,
    pub addresses: Vec<IpAddr>,
    pub ttl: Option<u32>,
}

/// What may be put to a resolver inside.
pub fn question(id: u16, name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(simple_dns::PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

fn told(packet: &[u8], id: u16, name: &str) -> Told {
    let packet = Packet::parse(packet).unwrap();
    assert_eq!((packet.id(), packet.questions[0].qname.to_string()), (id, name.trim_end_matches('.').to_owned()));
    let address = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(four) => Some(IpAddr::from(four.address.to_be_bytes())),
        RData::AAAA(six) => Some(IpAddr::from(six.address.to_be_bytes())),
        _ => None,
    };
    Told {
        code: packet.rcode(),
        truncated: packet.has_flags(simple_dns::PacketFlag::TRUNCATION),
        addresses: packet.answers.iter().filter_map(address).collect(),
        ttl: packet.answers.iter().map(|record| record.ttl).min(),
    }
}

/// A thread in a container's network namespace.
pub fn inside<T: Send + 'static>(network: File, act: impl FnOnce() -> T + Send + 'static) -> T {
    let within = thread::spawn(move || {
        nix::sched::setns(network.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        act()
    });
    within.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The address of resolv.conf inside.
pub const RESOLV_CONF: &str = "127.200.53.53:53";

/// Asks as programs do: by UDP, and waits.
pub fn ask(name: &str, kind: TYPE) -> Told {
    ask_at(RESOLV_CONF, name, kind)
}

pub fn ask_at(at: &str, name: &str, kind: TYPE) -> Told {
    let to: SocketAddr = at.parse().unwrap();
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    socket.connect(to).unwrap();
    socket.send(&question(0x4321, name, kind)).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    told(&buffer[..length], 0x4321, name)
}

/// Several questions on one stream, of which the answers come in any order.
pub fn ask_by_tcp(names: &[&str]) -> Vec<Told> {
    let mut stream = TcpStream::connect(RESOLV_CONF).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut all = Vec::new();
    for (name, id) in names.iter().zip(0..) {
        let packet = question(id, name, TYPE::A);
        all.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        all.extend(packet);
    }
    // In pieces, as streams are.
    let (first, second) = all.split_at(all.len() / 2);
    stream.write_all(first).unwrap();
    thread::sleep(Duration::from_millis(50));
    stream.write_all(second).unwrap();
    let mut answers: Vec<Option<Told>> = names.iter().map(|_| None).collect();
    for _ in names {
        let packet = framed(&mut stream).unwrap();
        let id = Packet::parse(&packet).unwrap().id();
        answers[usize::from(id)] = Some(told(&packet, id, names[usize::from(id)]));
    }
    answers.into_iter().map(Option::unwrap).collect()
}
