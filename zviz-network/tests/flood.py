# Begins so many conversations with this namespace itself, and no two the same; says nothing.
#   flood.py HOW COUNT
import ctypes
import itertools
import socket
import struct
import sys

HOW, COUNT = sys.argv[1], int(sys.argv[2])
OWN = ("10.213.4.2", "fd00::2")
IPV6_FREEBIND = 78


def four(first):
    """Addresses from 127.first on."""
    return (f"127.{first + (i >> 16)}.{i >> 8 & 255}.{i & 255}" for i in itertools.count(1))


def datagrams(family, to, of=""):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        if of:
            one.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            one.bind((of, 0))
        for peer in itertools.islice(to, COUNT):
            try:
                one.sendto(b"x", peer)
            except OSError:
                pass


def ports(address):
    return ((address, port) for port in itertools.count(1024))


def raw(source, protocol):
    """By a raw socket, from where one likes."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as one:
        for to in itertools.islice(four(30), COUNT):
            body = struct.pack("!HHHH", 9, 9, 8, 0)
            head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 7, 0, 64, protocol, 0)
            try:
                one.sendto(head + socket.inet_aton(source) + socket.inet_aton(to) + body, (to, 0))
            except OSError:
                pass


def connections(port, at):
    """TCP, each from an address of its own and at once over: `at` is where somebody listens."""
    with socket.create_server(at, backlog=4096) as server:
        server.setblocking(False)
        for source in itertools.islice(four(60), COUNT):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
                one.setblocking(False)
                one.bind((source, 0))
                one.connect_ex(("127.0.0.1", port))
                try:
                    server.accept()[0].close()
                except OSError:
                    pass


def echoes():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as one:
        for to in itertools.islice(four(90), COUNT):
            one.sendto(bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0]), (to, 0))


HOWS = {
    "loopback": lambda: datagrams(socket.AF_INET, ((to, 9) for to in four(1))),
    "own": lambda: datagrams(socket.AF_INET, ports(OWN[0])),
    "own-ipv6": lambda: datagrams(socket.AF_INET6, ports(OWN[1])),
    "loopback-ipv6": lambda: datagrams(socket.AF_INET6, ports("::1")),
    "strange-ipv6": lambda: datagrams(socket.AF_INET6, ports("::1"), "2001:db8::77"),
    "strange": lambda: raw("192.0.2.77", 17),
    "odd": lambda: raw("127.0.0.1", 99),
    "tcp": lambda: connections(9, ("127.0.0.1", 9)),
    "echoes": echoes,
    "names": lambda: datagrams(socket.AF_INET, ((to, 53) for to in four(120))),
    "names-outside": lambda: datagrams(socket.AF_INET, ((f"192.0.{i >> 8 & 255}.{i & 255}", 53) for i in itertools.count(1))),
    "names-ipv6": lambda: datagrams(socket.AF_INET6, ((f"2001:db8::{i:x}", 53) for i in itertools.count(1))),
    "names-tcp": lambda: connections(53, ("127.200.53.53", 53053)),
}
HOWS[HOW]()
