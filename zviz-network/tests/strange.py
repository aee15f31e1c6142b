# Tries to get past rules by way of lo, where no conversation is kept. Prints what came to a socket of this namespace under
# another address, and what each attempt ended with on standard error.
import itertools
import socket
import struct
import sys

OWN = ("10.213.4.2", "fd00::2")
IPV6_FREEBIND = 78
STRANGERS = ["192.0.2.9", "192.0.2.5", "169.254.169.254", "10.213.4.1", "255.255.255.255", "224.0.0.1"]


def attempt(what, how):
    try:
        how()
        print(*what, "sent", file=sys.stderr)
    except OSError as error:
        print(*what, error, file=sys.stderr)


def crafted(source, to, port, device=None, offset=0):
    """By a raw socket, from where one likes; with an offset, as a fragment that nothing puts together."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as one:
        if device:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        one.setsockopt(socket.IPPROTO_IP, 22, int(offset > 0))
        body = struct.pack("!HHHH", 6666, port, 16, 0) + b"strange!"
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, offset, 64, 17, 0)
        one.sendto(head + socket.inet_aton(source) + socket.inet_aton(to) + body, (to, 0))


def freely(source, to, port, device=None):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        if device:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        one.bind((source, 0))
        one.sendto(b"strange!", (to, port))


def datagram(family, to, port, device, source=None):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        if source:
            one.bind((source, 0))
        one.sendto(b"x", (to, port))


here = []
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    one = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind((any, 5555))
    one.settimeout(0.3)
    here.append(one)

# To itself, under another address.
for source, to in itertools.product(STRANGERS, (OWN[0], "127.0.0.1")):
    attempt((source, to), lambda: crafted(source, to, 5555))
for source, to in itertools.product(("2001:db8::9", "2001:db8::5", "fd00::1"), (OWN[1], "::1")):
    attempt((source, to), lambda: freely(source, to, 5555))
# And under its own, which is there to show that it could have come.
crafted(OWN[0], OWN[0], 5555)
crafted("127.0.0.1", OWN[0], 5555)
freely(OWN[1], OWN[1], 5555)

for one in here:
    while True:
        try:
            _, peer = one.recvfrom(99)
        except TimeoutError:
            break
        print(peer[0])
        # Whoever it seems to be gets an answer, and a question behind it.
        for to in (peer, (peer[0], 7777)):
            attempt(("answer", peer[0]), lambda: one.sendto(b"secret", to))

# A conversation at lo, and then the same port to somebody else.
for one, own, stranger in zip(here, OWN, ("192.0.2.9", "2001:db8::9")):
    one.sendto(b"x", (own, 5555))
    attempt(("from the same port", stranger), lambda: one.sendto(b"secret", (stranger, 7777)))

# To others, by way of lo.
for source in (OWN[0], "127.0.0.1"):
    for offset in (0, 0x2000):
        attempt(("by lo", source, offset), lambda: crafted(source, "192.0.2.9", 7777, b"lo", offset))
    attempt(("by lo", source), lambda: datagram(socket.AF_INET, "192.0.2.9", 7777, b"lo", source))
attempt(("by lo", "::1"), lambda: freely("::1", "2001:db8::9", 7777, b"lo"))
attempt(("by lo", OWN[1]), lambda: freely(OWN[1], "2001:db8::9", 7777, b"lo"))
# To others from lo's addresses, by the device.
for offset in (0, 0x2000):
    attempt(("by eth0", offset), lambda: crafted("127.0.0.1", "192.0.2.9", 7777, b"eth0", offset))
    attempt(("by eth0", offset), lambda: crafted(OWN[0], "192.0.2.9", 7777, b"eth0", offset))
attempt(("by eth0", "::1"), lambda: freely("::1", "2001:db8::9", 7777, b"eth0"))
# What may be reached is.
for family, to in ((socket.AF_INET, "192.0.2.5"), (socket.AF_INET6, "2001:db8::5")):
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (to, 8888))
