use super::stage::{Supervisor, play, possible, possible_with_landlock};
use super::{CALLS, internet, stream, unix};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket, sockopt};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;
use zviz_sys::socket::{bind, connect};

fn path(path: &Path) -> Vec<u8> {
    unix(&[path.as_os_str().as_bytes(), &[0]].concat())
}

#[test]
fn addresses_are_reached_by_rule_only() {
    if !possible("addresses_are_reached_by_rule_only") {
        return;
    }
    let rules = r#"{"connect":[{"deny":{"net":{"in":["127.0.0.2"]}}},{"allow":{"net":{"in":["127.0.0.0/8","::1"]}}}]}"#;
    let listeners = || ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
    let act = |listeners: [TcpListener; 3]| {
        let [allowed, forbidden, six] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let to = |address: SocketAddr| {
            let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
            connect(stream(family).as_fd(), &internet(address))
        };
        assert_eq!([to(allowed), to(six)], [Ok(()); 2]);
        assert_eq!(to(forbidden), Err(Errno::EACCES));
        assert_eq!(to(SocketAddr::new("10.0.0.1".parse().unwrap(), 1)), Err(Errno::EACCES));
        // The same by another spelling; and what stands for this machine.
        let mapped = |address: SocketAddr| match address.ip() {
            std::net::IpAddr::V4(four) => SocketAddr::new(four.to_ipv6_mapped().into(), address.port()),
            std::net::IpAddr::V6(_) => address,
        };
        assert_eq!([to(mapped(allowed)), to(mapped(forbidden))], [Ok(()), Err(Errno::EACCES)]);
        assert_eq!(to(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), allowed.port())), Ok(()));
        // Nobody listens, and the kernel's own answers.
        assert_eq!(to(SocketAddr::new("127.0.0.3".parse().unwrap(), 1)), Err(Errno::ECONNREFUSED));
        let connected = stream(AddressFamily::Inet);
        assert_eq!([0, 1].map(|_| connect(connected.as_fd(), &internet(allowed))), [Ok(()), Err(Errno::EISCONN)]);
        assert_eq!(
            connect(std::fs::File::open("/dev/null").unwrap().as_fd(), &internet(allowed)),
            Err(Errno::ENOTSOCK)
        );
        // AF_UNSPEC dissolves.
        let udp = UdpSocket::bind("127.0.0.1:0");
        assert!(udp.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES)), "bind has no rule");
        let udp = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();
        assert_eq!([connect(udp.as_fd(), &internet(allowed)), connect(udp.as_fd(), &[0; 16])], [Ok(()); 2]);
        let sock = UdpSocket::from(udp);
        assert!(sock.peer_addr().is_err());
    };
    play(&Supervisor::Broker { rules, log: None, one: true }, CALLS, listeners, act);
    // Without rules everything that is there can be reached.
    let free = |listeners: [TcpListener; 3]| {
        let forbidden = listeners[1].local_addr().unwrap();
        assert_eq!(connect(stream(AddressFamily::Inet).as_fd(), &internet(forbidden)), Ok(()));
    };
    play(&Supervisor::Broker { rules: r#"{"otherwise":"allow"}"#, log: None, one: true }, CALLS, listeners, free);
}

#[test]
fn files_are_judged_by_what_they_are() {
    if !possible_with_landlock("files_are_judged_by_what_they_are") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = root.join("log");
    let at = |name: &str| root.join(name);
    let rules = format!(
        r#"{{"connect":[{{"deny":{{"path":"{0}/link/secret"}}}},{{"allow":{{"below":"{0}/open"}}}}],
            "bind":[{{"allow":{{"below":"{0}/open"}}}}]}}"#,
        root.display()
    );
    let prepare = || {
        for name in ["open", "closed"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        symlink("open", at("link")).unwrap();
        let names = ["open/app", "open/secret", "closed/app", "open/docker.sock"];
        let listeners = names.map(|name| UnixListener::bind(at(name)).unwrap());
        symlink("../closed/app", at("open/out")).unwrap();
        symlink("open/app", at("in")).unwrap();
        listeners
    };
    let act = |listeners: [UnixListener; 4]| {
        let to = |name: &str| connect(stream(AddressFamily::Unix).as_fd(), &path(&at(name)));
        assert_eq!([to("open/app"), to("in"), to("link/app")], [Ok(()); 3]);
        // A peer sees who it is, and a name that is its own.
        let (peer, _) = listeners[0].accept().unwrap();
        assert_eq!(getsockopt(&peer, sockopt::PeerCredentials).unwrap().uid(), 0);
        assert_eq!(
            [to("open/secret"), to("closed/app"), to("open/out"), to("open/docker.sock")],
            [Err(Errno::EACCES); 4]
        );
        assert_eq!(
            [to("open/none"), to("open/app/"), to("open")],
            [Err(Errno::ENOENT), Err(Errno::ENOTDIR), Err(Errno::EACCES)]
        );
        let folder = std::fs::File::open(at("open")).unwrap();
        let by_number = |name: &str| {
            let start = format!("/proc/self/fd/{}", folder.as_raw_fd());
            connect(stream(AddressFamily::Unix).as_fd(), &path(&Path::new(&start).join(name)))
        };
        assert_eq!([by_number("app"), by_number("secret")], [Ok(()), Err(Errno::EACCES)]);
        assert_eq!(by_number("../closed/app"), Err(Errno::EACCES));
        std::env::set_current_dir(at("open")).unwrap();
        assert_eq!(connect(stream(AddressFamily::Unix).as_fd(), &unix(b"app")), Ok(()));
        std::fs::write("plain", "").unwrap();
        assert_eq!(to("open/plain"), Err(Errno::ECONNREFUSED));
        let new = |name: &[u8]| {
            let socket = stream(AddressFamily::Unix);
            bind(socket.as_fd(), &unix(name)).map(|()| socket)
        };
        let relative = UnixListener::from(new(b"relative").unwrap());
        assert_eq!(relative.local_addr().unwrap().as_pathname(), Some(Path::new("relative")));
        let absolute = [at("link/new").as_os_str().as_bytes(), &[0]].concat();
        let absolute = UnixListener::from(new(&absolute).unwrap());
        assert_eq!(absolute.local_addr().unwrap().as_pathname(), Some(at("link/new").as_path()));
        assert_eq!(new(b"app").err(), Some(Errno::EADDRINUSE));
        assert_eq!([new(b"../closed/new").err(), new(b"\0abstract").err()], [Some(Errno::EACCES); 2]);
        assert!(!at("closed/new").exists());
    };
    play(&Supervisor::Broker { rules: &rules, log: Some(&log), one: false }, CALLS, prepare, act);
    let text = std::fs::read_to_string(&log).unwrap();
    for told in
        ["sockets.connect[0]", "sockets.connect[1]", "sockets: docker*.sock: ", "sockets.otherwise", "closed/app"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn abstract_names_are_exact() {
    if !possible("abstract_names_are_exact") {
        return;
    }
    let rules = r#"{"connect":[{"allow":{"abstract":"mine"}}]}"#;
    let prepare =
        || ["mine", "mine2"].map(|name| UnixListener::bind_addr(&UnixAddr::from_abstract_name(name).unwrap()).unwrap());
    let act = |_: [UnixListener; 2]| {
        let to = |name: &str| UnixStream::connect_addr(&UnixAddr::from_abstract_name(name).unwrap());
        assert!(to("mine").is_ok());
        assert_eq!(to("mine2").unwrap_err().raw_os_error(), Some(libc::EACCES));
    };
    play(&Supervisor::Broker { rules, log: None, one: true }, CALLS, prepare, act);
}

#[test]
fn a_connection_waits_as_long_as_it_takes() {
    if !possible("a_connection_waits_as_long_as_it_takes") {
        return;
    }
    let prepare = || {
        let socket = stream(AddressFamily::Unix);
        bind(socket.as_fd(), &unix(b"\0full")).unwrap();
        // One may wait, and a second: then it is full.
        nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
        UnixListener::from(socket)
    };
    let act = |listener: UnixListener| {
        let to = || connect(stream(AddressFamily::Unix).as_fd(), &unix(b"\0full"));
        // More than a hand for each could be had at once, without those that wait.
        let threads: Vec<_> = (0..20).map(|_| std::thread::spawn(to)).collect();
        std::thread::sleep(Duration::from_millis(3_000));
        let again = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        assert_eq!(connect(again.as_fd(), &unix(b"\0full")), Err(Errno::EAGAIN));
        assert!(threads.iter().filter(|thread| !thread.is_finished()).count() >= 18);
        for _ in 0..20 {
            listener.accept().unwrap();
        }
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    };
    play(&Supervisor::Broker { rules: r#"{"otherwise":"allow"}"#, log: None, one: true }, CALLS, prepare, act);
}
