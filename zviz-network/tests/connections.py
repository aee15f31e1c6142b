# Tries to send TCP to who may not be reached, by every way of a socket, and by a raw one. Prints what each attempt ended with.
import socket
import struct

PAIRS = (
    (socket.AF_INET, "10.213.4.2", "192.0.2.5", "192.0.2.9"),
    (socket.AF_INET6, "fd00::2", "2001:db8::5", "2001:db8::9"),
)
PORT = 80
FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
MSG_FASTOPEN = 0x20000000
IPPROTO_MPTCP = 262
TCP_REPAIR, TCP_FASTOPEN_CONNECT = 19, 30


def attempt(what, how):
    try:
        print(f"{what}: {how()}")
    except (OSError, ValueError) as error:
        print(f"{what}: {getattr(error, 'strerror', None) or error}")


def stream(family, protocol=0):
    one = socket.socket(family, socket.SOCK_STREAM, protocol)
    one.settimeout(0.2)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return one


def plainly(family, to):
    with stream(family) as one:
        one.connect((to, PORT))


def fast(family, to):
    with stream(family) as one:
        one.sendto(b"secret", MSG_FASTOPEN, (to, PORT))


def fast_later(family, to):
    with stream(family) as one:
        one.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        one.connect((to, PORT))
        one.send(b"secret")


def by_several_paths(family, to):
    with stream(family, IPPROTO_MPTCP) as one:
        one.connect((to, PORT))


def again(family, allowed, to):
    """The socket of a connection that was let through, to somebody else; and its port."""
    with stream(family) as one:
        one.connect((allowed, PORT))
        own = one.getsockname()
        # connect(2): AF_UNSPEC ends the association.
        import ctypes
        ctypes.CDLL(None).connect(one.fileno(), struct.pack("=H14x", 0), 16)
        with stream(family) as other:
            other.bind(own[:2])
            attempt("  its port", lambda: other.connect((to, PORT)))
        one.connect((to, PORT))


def closed_hard(family, allowed, to):
    """A reset goes to the peer alone, whatever the socket is told afterwards."""
    with stream(family) as one:
        one.connect((allowed, PORT))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        attempt("  while connected", lambda: one.connect((to, PORT)))
        attempt("  with an address", lambda: one.sendto(b"secret", (to, PORT)))


def as_another(family, to):
    """From an address that is not the own one, and from the forbidden one to oneself: an answer would go there."""
    with stream(family) as one:
        one.setsockopt(*FREEBIND[family], 1)
        one.bind((to, 7000))
        one.listen()
        with stream(family) as other:
            other.setsockopt(*FREEBIND[family], 1)
            other.bind((to, 7001))
            own = "127.0.0.1" if family == socket.AF_INET else "::1"
            attempt("  to oneself", lambda: other.connect((own, 7002)))
            attempt("  to a stranger", lambda: other.connect((to, PORT)))


def repaired(family, to):
    with stream(family) as one:
        one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        one.connect((to, PORT))
        one.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
        one.send(b"secret")


def crafted(family, own, to):
    """Packets that belong to no connection: an acknowledgement, a reset, an answer, none of these."""
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as one:
        one.bind((own, 0))
        for flags in (0x10, 0x18, 0x04, 0x12, 0x00, 0x01):
            one.sendto(struct.pack("!HHIIBBHHH", 7003, PORT, 1, 1, 5 << 4, flags, 512, 0, 0) + b"secret", (to, 0))


for family, own, allowed, to in PAIRS:
    attempt("plainly", lambda: plainly(family, to))
    attempt("fast", lambda: fast(family, to))
    attempt("fast, later", lambda: fast_later(family, to))
    attempt("by several paths", lambda: by_several_paths(family, to))
    attempt("again", lambda: again(family, allowed, to))
    attempt("closed hard", lambda: closed_hard(family, allowed, to))
    attempt("as another", lambda: as_another(family, to))
    attempt("repaired", lambda: repaired(family, to))
    attempt("raw", lambda: crafted(family, own, to))
