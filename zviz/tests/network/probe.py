# Tries flows one after the other and says of each what became of it.
#   probe.py tcp:ADDRESS:PORT udp:ADDRESS:PORT big:ADDRESS:PORT icmp:ADDRESS ...
# `big` is a datagram that no link takes in one piece, and neither its answer.
# An address of IPv6 is in brackets. An answer is `ok NAME`; else what the kernel says, or `timeout`.
import errno
import os
import socket
import struct
import sys

PATIENCE = float(os.environ.get("PATIENCE", "1.0"))
# No echo is taken for part of an earlier conversation.
OWN = os.getpid() & 0xFFFF


def split(flow):
    kind, rest = flow.split(":", 1)
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        return kind, socket.AF_INET6, address, int(port[1:] or 0)
    address, _, port = rest.partition(":")
    return kind, socket.AF_INET, address, int(port or 0)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def tcp(family, address, port):
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(PATIENCE)
        one.connect((address, port))
        return one.recv(200).decode().strip()


def udp(family, address, port):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((address, port))
        one.send(b"x")
        return one.recv(200).decode().split()[0]


def big(family, address, port):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((address, port))
        one.send(b"x" * 4000)
        name, said = one.recv(65536).split()
        return name.decode() if len(said) == 4000 else f"{len(said)} bytes"


def icmp(family, address, raw):
    six = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    with socket.socket(family, socket.SOCK_RAW if raw else socket.SOCK_DGRAM, protocol) as one:
        one.settimeout(PATIENCE)
        one.connect((address, 0))
        kind = 128 if six else 8
        head = struct.pack("!BBHHH", kind, 0, 0, OWN, 1)
        if raw and not six:
            head = struct.pack("!BBHHH", kind, 0, checksum(head), OWN, 1)
        one.send(head)
        one.recv(200)
        return "echo"


for flow in sys.argv[1:]:
    kind, family, address, port = split(flow)
    try:
        if kind == "icmp":
            said = icmp(family, address, False)
        elif kind == "raw":
            said = icmp(family, address, True)
        else:
            said = {"tcp": tcp, "udp": udp, "big": big}[kind](family, address, port)
        print(flow, "ok", said, flush=True)
    except TimeoutError:
        print(flow, "timeout", flush=True)
    except OSError as error:
        print(flow, errno.errorcode.get(error.errno, str(error)), flush=True)
