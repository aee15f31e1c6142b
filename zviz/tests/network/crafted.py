# Packets that no ordinary socket sends, one attempt after the other; of each it says `ok`, or what the kernel says.
#   crafted.py tiny:ADDRESS:PORT kept:ADDRESS:PORT frame:ADDRESS:PORT vsock abstract:NAME ...
# Datagrams of UDP by raw sockets, in fragments whose first one holds eight bytes (`tiny`), not put together on their way out
# either (`kept`, IP_NODEFRAG); in a frame of Ethernet to everybody on the link (`frame`). An address of IPv6 is in brackets.
import errno
import ipaddress
import socket
import struct
import sys

IP_NODEFRAG = 22
FRAGMENT = 44
BODY = b"crafted" * 100


def split(rest):
    address, _, port = rest.rpartition(":")
    return ipaddress.ip_address(address.strip("[]")), int(port)


def total(data):
    data += b"\0" * (len(data) % 2)
    summed = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while summed >> 16:
        summed = (summed >> 16) + (summed & 0xFFFF)
    return ~summed & 0xFFFF


def own(to):
    with socket.socket(socket.AF_INET if to.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.connect((str(to), 9))
        return ipaddress.ip_address(one.getsockname()[0])


def datagram(source, to, port, body):
    length = 8 + len(body)
    if to.version == 4:
        pseudo = source.packed + to.packed + struct.pack("!HH", 17, length)
    else:
        pseudo = source.packed + to.packed + struct.pack("!IHBB", length, 0, 0, 17)
    head = struct.pack("!HHH", 9999, port, length)
    return head + struct.pack("!H", total(pseudo + head + b"\0\0" + body)) + body


def header(source, to, protocol, body, place=0, number=4711):
    if to.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, place, 64, protocol, 0) + source.packed + to.packed
        return head[:10] + struct.pack("!H", total(head)) + head[12:] + body
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source.packed + to.packed + body


def pieces(source, to, port, whole):
    # Whoever has one piece waits for the others of the same number.
    for start, end, more in [(0, 8, 1), (8, len(whole), 0)]:
        if to.version == 4:
            yield header(source, to, 17, whole[start:end], more << 13 | start // 8, port)
        else:
            part = struct.pack("!BBHI", 17, 0, start | more, port)
            yield header(source, to, FRAGMENT, part + whole[start:end])


def fragments(rest, kept):
    to, port = split(rest)
    source = own(to)
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as one:
        if kept:
            one.setsockopt(socket.IPPROTO_IP, IP_NODEFRAG, 1)
        for piece in pieces(source, to, port, datagram(source, to, port, BODY)):
            one.sendto(piece, (str(to), 0))


def frame(rest):
    to, port = split(rest)
    source = own(to)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as one:
        one.bind(("eth0", 0))
        kind = 0x0800 if to.version == 4 else 0x86DD
        ether = b"\xff" * 6 + one.getsockname()[4] + struct.pack("!H", kind)
        one.send(ether + header(source, to, 17, datagram(source, to, port, b"framed")))


def vsock():
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as one:
        one.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))


def abstract(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.connect("\0" + name)
        one.recv(1)


TRIES = {
    "tiny": lambda rest: fragments(rest, False),
    "kept": lambda rest: fragments(rest, True),
    "frame": frame,
    "vsock": lambda _: vsock(),
    "abstract": abstract,
}

for attempt in sys.argv[1:]:
    kind, _, rest = attempt.partition(":")
    try:
        TRIES[kind](rest)
        print(attempt, "ok")
    except OSError as error:
        print(attempt, errno.errorcode.get(error.errno, str(error)))
