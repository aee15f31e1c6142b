use super::stage::{Supervisor, play, possible};
use super::{CALLS, family, internet, stream, unix};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn,
    recvmsg, sendmmsg, sendmsg, setsockopt, socket, socketpair, sockopt,
};
use nix::sys::time::TimeVal;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};
use zviz_sys::socket::send;

fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn to_stream((one, other): (OwnedFd, OwnedFd)) -> (UnixStream, UnixStream) {
    (one.into(), other.into())
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("{address}"),
    }
}

#[test]
fn datagrams_go_where_a_rule_lets_them() {
    if !possible("datagrams_go_where_a_rule_lets_them") {
        return;
    }
    let rules = r#"{"connect":[{"allow":{"net":{"in":["127.0.0.1"]}}}]}"#;
    let prepare = || {
        let sockets = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"].map(|address| UdpSocket::bind(address).unwrap());
        sockets[1].set_nonblocking(true).unwrap();
        sockets
    };
    let act = |[allowed, forbidden, from]: [UdpSocket; 3]| {
        let [to, never] = [&allowed, &forbidden].map(|socket| socket.local_addr().unwrap());
        let mut buffer = [0u8; 70_000];
        let mut arrives = |length: usize| {
            assert_eq!(allowed.recv_from(&mut buffer).unwrap(), (length, from.local_addr().unwrap()));
        };
        assert_eq!(from.send_to(b"sendto", to).unwrap(), 6);
        arrives(6);
        assert_eq!(send(from.as_fd(), Some(&internet(to)), b"sendmsg", &[], 0), Ok(7));
        arrives(7);
        // UDP takes AF_UNSPEC for AF_INET.
        let unspecified = |address| [&family(libc::AF_UNSPEC), internet(address).get(2..).unwrap()].concat();
        assert_eq!(send(from.as_fd(), Some(&unspecified(to)), b"", &[], 0), Ok(0));
        arrives(0);
        assert_eq!(send(from.as_fd(), Some(&internet(to)), &[1; 60_000], &[], 0), Ok(60_000));
        arrives(60_000);
        for address in [internet(never), unspecified(never)] {
            assert_eq!(send(from.as_fd(), Some(&address), b"x", &[], 0), Err(Errno::EACCES));
        }
        assert_eq!(from.send_to(b"x", never).unwrap_err().raw_os_error(), Some(libc::EACCES));
        // Several at once: as many as the caller asks for, one by one.
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(2, None);
        let parts = [[IoSlice::new(b"one")], [IoSlice::new(b"three")]];
        let mut many = |addresses: [SocketAddr; 2]| {
            let addresses = addresses.map(|address| Some(SockaddrIn::from(v4(address))));
            let sent = sendmmsg(from.as_raw_fd(), &mut headers, &parts, addresses, [], MsgFlags::empty());
            sent.map(|sent| sent.map(|message| message.bytes).collect::<Vec<_>>())
        };
        assert_eq!(many([to, never]), Ok(vec![3]));
        arrives(3);
        assert_eq!(many([never, to]), Err(Errno::EACCES));
        // On a connection.
        from.connect(to).unwrap();
        assert_eq!(from.send(b"sent").unwrap(), 4);
        arrives(4);
        assert_eq!(send(from.as_fd(), None, b"again", &[], 0), Ok(5));
        arrives(5);
        assert!(forbidden.recv(&mut [0; 8]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    };
    for one in [false, true] {
        play(&Supervisor::Broker { rules, log: None, one }, CALLS, prepare, act);
    }
}

#[test]
fn names_of_datagram_sockets_are_judged() {
    if !possible("names_of_datagram_sockets_are_judged") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let rules = format!(r#"{{"connect":[{{"allow":{{"path":"{}/open"}}}}]}}"#, root.display());
    let prepare = || ["open", "closed", "own"].map(|name| UnixDatagram::bind(root.join(name)).unwrap());
    let act = |[open, closed, own]: [UnixDatagram; 3]| {
        let mut buffer = [0u8; 8];
        assert_eq!(own.send_to(b"hello", root.join("open")).unwrap(), 5);
        let (length, from) = open.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from.as_pathname()), (5, Some(root.join("own").as_path())));
        assert_eq!(own.send_to(b"x", root.join("closed")).unwrap_err().raw_os_error(), Some(libc::EACCES));
        closed.set_nonblocking(true).unwrap();
        assert!(closed.recv(&mut buffer).is_err());
        assert_eq!(send(own.as_fd(), Some(&unix(b"\0name")), b"x", &[], 0), Err(Errno::EACCES));
        own.connect(root.join("open")).unwrap();
        assert_eq!(send(own.as_fd(), None, b"ab", &[], 0), Ok(2));
        assert_eq!(open.recv(&mut buffer).unwrap(), 2);
        assert_eq!(send(own.as_fd(), None, &[0; 100_000], &[], 0), Err(Errno::EMSGSIZE));
    };
    play(&Supervisor::Broker { rules: &rules, log: None, one: true }, CALLS, prepare, act);
}

#[test]
fn descriptors_are_passed() {
    if !possible("descriptors_are_passed") {
        return;
    }
    let act = |()| {
        let (one, other) = pair(SockType::Stream);
        let (mut reader, writer) = std::io::pipe().unwrap();
        let fds = [writer.as_raw_fd(), one.as_raw_fd()];
        let ids = nix::sys::socket::UnixCredentials::new();
        let messages = [ControlMessage::ScmRights(&fds), ControlMessage::ScmCredentials(&ids)];
        setsockopt(&other, sockopt::PassCred, &true).unwrap();
        let sent = sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"x")], &messages, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(1));
        drop(writer);
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4], libc::ucred);
        let mut buffer = [0u8; 4];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let got = recvmsg::<()>(other.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
        let mut received = Vec::new();
        for message in got.cmsgs().unwrap() {
            match message {
                ControlMessageOwned::ScmRights(fds) => received.extend(fds),
                ControlMessageOwned::ScmCredentials(who) => assert_eq!((who.uid(), who.gid()), (0, 0)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received.len(), 2);
        let mut writer = std::fs::File::from(owned(received[0]));
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        // The end comes: nobody else has kept a copy.
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        let wrong = [ControlMessage::ScmRights(&[999])];
        let sent = sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"x")], &wrong, MsgFlags::empty(), None);
        assert_eq!(sent, Err(Errno::EBADF));
    };
    play(&Supervisor::Broker { rules: "{}", log: None, one: true }, CALLS, || (), act);
}

/// The kernel has made it for this process.
fn owned(number: i32) -> OwnedFd {
    zviz_sys::fd::pidfd_getfd(
        zviz_sys::process::pidfd_open(i32::try_from(std::process::id()).unwrap()).unwrap().as_fd(),
        number,
    )
    .inspect(|_| nix::unistd::close(number).unwrap())
    .unwrap()
}

#[test]
fn streams_keep_their_order_and_wait() {
    if !possible("streams_keep_their_order_and_wait") {
        return;
    }
    let act = |()| {
        let (one, mut other) = to_stream(pair(SockType::Stream));
        let data: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::thread::sleep(Duration::from_millis(200));
            other.read_to_end(&mut all).map(|_| all)
        });
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let sent = send(one.as_fd(), None, rest, &[], 0).unwrap();
            assert!(sent > 0);
            rest = &rest[sent..];
        }
        drop(one);
        assert!(reader.join().unwrap().unwrap() == data);

        let (one, other) = to_stream(pair(SockType::Stream));
        one.set_nonblocking(true).unwrap();
        let full = |flags| loop {
            match send(one.as_fd(), None, &[0; 10_000], &[], flags) {
                Ok(_) => {}
                Err(errno) => break errno,
            }
        };
        assert_eq!(full(0), Errno::EAGAIN);
        one.set_nonblocking(false).unwrap();
        assert_eq!(full(libc::MSG_DONTWAIT), Errno::EAGAIN);
        setsockopt(&one, sockopt::SendTimeout, &TimeVal::new(0, 300_000)).unwrap();
        let begun = Instant::now();
        assert_eq!(full(0), Errno::EAGAIN);
        assert!((300..2_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());

        // A peer that is gone: the signal comes too, where nobody has asked for it not to.
        drop(other);
        SigSet::from(Signal::SIGPIPE).thread_block().unwrap();
        // The thread's, or the process's where the kernel cannot signal a thread by its descriptor.
        let pending = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let lines = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
            let mut sets = lines.map(|set| u64::from_str_radix(set.trim(), 16).unwrap());
            sets.any(|set| set & 1 << (libc::SIGPIPE - 1) != 0)
        };
        assert_eq!((send(one.as_fd(), None, b"x", &[], 0), pending()), (Err(Errno::EPIPE), false));
        let sent = sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"x")], &[], MsgFlags::empty(), None);
        assert_eq!((sent, pending()), (Err(Errno::EPIPE), true));
    };
    play(&Supervisor::Broker { rules: "{}", log: None, one: true }, CALLS, || (), act);
}

#[test]
fn a_connection_carries_data_whatever_its_address() {
    if !possible("a_connection_carries_data_whatever_its_address") {
        return;
    }
    let rules = r#"{"connect":[{"allow":{"net":{"in":["127.0.0.1"]}}}]}"#;
    let act = |listener: TcpListener| {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"write ").unwrap();
        assert_eq!(send(client.as_fd(), None, b"sendmsg", &[], 0), Ok(7));
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "write sendmsg");
        // What connects while it sends is a destination.
        let fresh = stream(AddressFamily::Inet);
        let never = internet("127.0.0.2:1".parse().unwrap());
        assert_eq!(send(fresh.as_fd(), Some(&never), b"x", &[], libc::MSG_FASTOPEN), Err(Errno::EACCES));
        let to = internet(listener.local_addr().unwrap());
        let sent = send(fresh.as_fd(), Some(&to), b"fast", &[], libc::MSG_FASTOPEN);
        assert!(matches!(sent, Ok(4) | Err(Errno::EOPNOTSUPP)), "{sent:?}");
        let udp = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();
        assert_eq!(send(udp.as_fd(), None, b"x", &[], 0), Err(Errno::EDESTADDRREQ));
    };
    play(&Supervisor::Broker { rules, log: None, one: true }, CALLS, || TcpListener::bind("127.0.0.1:0").unwrap(), act);
}
