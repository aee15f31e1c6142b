# Leads connections that were let begin to somebody else: by a source route, and what was said at lo by another device. Prints what
# each attempt ended with.
import socket
import time

PAIRS = (
    (socket.AF_INET, "10.213.4.2", "192.0.2.5", "192.0.2.9", ("127.0.0.2", "10.213.5.2")),
    (socket.AF_INET6, "fd00::2", "2001:db8::5", "2001:db8::9", ("::1", "fd01::2")),
)
PORT = 80
# IP_OPTIONS and IP_TOS, IPV6_RTHDR and IPV6_TCLASS: the second has a socket look for its way again.
WAY = {socket.AF_INET: (socket.IPPROTO_IP, 4), socket.AF_INET6: (socket.IPPROTO_IPV6, 57)}
CLASS = {socket.AF_INET: (socket.IPPROTO_IP, 1), socket.AF_INET6: (socket.IPPROTO_IPV6, 67)}


def attempt(what, how):
    try:
        print(f"{what}: {how()}")
    except OSError as error:
        print(f"{what}: {error.strerror or error}")


def by_way_of(family, allowed, to):
    """Its packets go to the first on the way. RFC 791 (which newer kernels want a right for), RFC 8754."""
    four = bytes((131, 7, 4)) + socket.inet_aton(to) + b"\0" if family == socket.AF_INET else None
    way = four or bytes((6, 4, 4, 1, 1, 0, 0, 0)) + bytes(16) + socket.inet_pton(family, to)
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(5)
        one.connect((allowed, PORT))
        one.setsockopt(*WAY[family], way)
        one.setsockopt(*CLASS[family], 8)
        one.send(b"secret")
        time.sleep(0.5)


def by_another_device(family, own, home):
    with socket.socket(family, socket.SOCK_STREAM) as server, socket.socket(family, socket.SOCK_STREAM) as one:
        server.bind((home, 0))
        server.listen()
        one.bind((own, 0))
        one.connect(server.getsockname())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        one.send(b"secret")
        time.sleep(0.5)


for family, own, allowed, to, home in PAIRS:
    attempt("by way of another", lambda: by_way_of(family, allowed, to))
    for address in home:
        attempt("by another device", lambda: by_another_device(family, own, address))
