# One peer of the internet: says its name to whoever connects, echoes datagrams with its name, and writes down both.
#   server.py NAME LOG PORT...
import select
import socket
import sys

name, log, ports = sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]
sockets = {}
for port in ports:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        one = socket.socket(socket.AF_INET6, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            one.listen(128)
        else:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sockets[one.fileno()] = (one, port)
with open(log, "a", buffering=1) as record:
    record.write("ready\n")
    poll = select.poll()
    for number in sockets:
        poll.register(number, select.POLLIN)
    open_ones = {}
    while True:
        for number, _ in poll.poll():
            if number in open_ones:
                # What a connected peer says is said back, so that one connection can be used for long.
                one = open_ones[number]
                try:
                    said = one.recv(65536)
                    if said:
                        one.sendall(said)
                except OSError:
                    said = b""
                if not said:
                    poll.unregister(number)
                    del open_ones[number]
                    one.close()
                continue
            one, port = sockets[number]
            if one.type == socket.SOCK_STREAM:
                peer, address = one.accept()
                record.write(f"tcp {port} {address[0].removeprefix('::ffff:')}\n")
                try:
                    peer.sendall(f"{name}\n".encode())
                except OSError:
                    peer.close()
                    continue
                open_ones[peer.fileno()] = peer
                poll.register(peer.fileno(), select.POLLIN)
            else:
                said, extra, _, address = one.recvmsg(65536, 256)
                record.write(f"udp {port} {address[0].removeprefix('::ffff:')}\n")
                # From the address that it came to: the socket would choose another.
                kept = [(level, kind, data[:16] + bytes(4)) for level, kind, data in extra]
                one.sendmsg([name.encode() + b" " + said], kept, 0, address)
