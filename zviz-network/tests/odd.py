# Tries to send what is not TCP to who may not be reached, by every socket that everybody may have. Prints what each attempt ended
# with.
import socket
import struct

PAIRS = (
    (socket.AF_INET, "10.213.4.2", "192.0.2.5", "192.0.2.9", "224.0.0.99"),
    (socket.AF_INET6, "fd00::2", "2001:db8::5", "2001:db8::9", "ff02::99"),
)
PORT = 80
UDP_SEGMENT = 103
UDP_LITE = 136
FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
DEVICE = {socket.AF_INET: (socket.IPPROTO_IP, 32), socket.AF_INET6: (socket.IPPROTO_IPV6, 17)}


def attempt(what, how):
    try:
        print(f"{what}: {how()}")
    except OSError as error:
        print(f"{what}: {error.strerror or error}")


def datagram(family, protocol=0):
    return socket.socket(family, socket.SOCK_DGRAM, protocol)


def sends(family, to, protocol, many=1):
    with datagram(family, protocol) as one:
        return one.sendto(b"secret" * many, (to, PORT))


def in_segments(family, to):
    with datagram(family) as one:
        one.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        return one.sendto(bytes(5000), (to, PORT))


def turned_while_held(family, allowed, to):
    """What was begun for one, and goes on for another."""
    with datagram(family) as one:
        one.sendto(b"a", socket.MSG_MORE, (allowed, PORT))
        one.sendto(b"secret", socket.MSG_MORE, (to, PORT))
        one.connect((to, PORT))
        one.send(b"secret")
        return one.send(b"secret")


def echo(family, to):
    protocol, kind = (socket.IPPROTO_ICMP, 8) if family == socket.AF_INET else (socket.IPPROTO_ICMPV6, 128)
    with datagram(family, protocol) as one:
        return one.sendto(struct.pack("!BBHHH", kind, 0, 0, 0, 1) + b"secret", (to, 0))


def answered_to(family, own, to):
    """Oneself, under the other's address, at a port where somebody is and at one where nobody is: an answer would go there."""
    with datagram(family) as one, datagram(family) as server:
        server.bind((own, 7100))
        one.setsockopt(*FREEBIND[family], 1)
        one.bind((to, PORT))
        for port in (7100, 7101):
            attempt("  to oneself", lambda: one.sendto(b"x", (own, port)))
        return server.sendto(b"secret", (to, PORT))


def to_a_group(family, own, group):
    at = socket.inet_aton(own) if family == socket.AF_INET else struct.pack("I", socket.if_nametoindex("eth0"))
    with datagram(family) as one:
        one.setsockopt(*DEVICE[family], at)
        return one.sendto(b"secret", (group, PORT))


def to_everybody():
    with datagram(socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return one.sendto(b"secret", ("255.255.255.255", PORT))


for family, own, allowed, to, group in PAIRS:
    for what, protocol in (("datagram", 0), ("lite", UDP_LITE)):
        for many in (1, 1000):
            attempt(what, lambda: sends(family, to, protocol, many))
    attempt("in segments", lambda: in_segments(family, to))
    attempt("turned while held", lambda: turned_while_held(family, allowed, to))
    attempt("echo", lambda: echo(family, to))
    attempt("answered to", lambda: answered_to(family, own, to))
    attempt("to a group", lambda: to_a_group(family, own, group))
attempt("in disguise", lambda: sends(socket.AF_INET6, "::ffff:192.0.2.9", 0))
attempt("to everybody", to_everybody)
