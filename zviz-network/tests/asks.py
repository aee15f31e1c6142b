# Sends one datagram from an address and port, and prints how many bytes come back to it, or why none do. From port 0, it is an
# echo request instead.
#   asks.py FROM PORT TO PORT BYTES
import socket
import struct
import sys

source, port, to, peer, count = sys.argv[1:]
six = ":" in to
family = socket.AF_INET6 if six else socket.AF_INET


def echo():
    """RFC 792, RFC 4443. Of IPv6 the kernel fills in the checksum; of IPv4 it is that of these bytes."""
    kind, answer = (128, 129) if six else (8, 0)
    checksum = 0xFFFF - (kind << 8) - 7
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP) as one:
        one.settimeout(10)
        one.bind((source, 0))
        one.sendto(struct.pack("!BBHHH", kind, 0, checksum, 0, 7) + bytes(int(count)), (to, 0))
        while True:
            bytes_ = one.recv(65536)[0 if six else 20 :]
            if bytes_[0] == answer and bytes_[6:8] == b"\0\7":
                return len(bytes_) - 8


def datagram():
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        one.bind((source, int(port)))
        one.connect((to, int(peer)))
        one.send(bytes(int(count)))
        return len(one.recv(65536))


try:
    print(datagram() if int(port) else echo())
except OSError as error:
    print(error.strerror or error)
