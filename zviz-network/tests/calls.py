# Sends one datagram from an address and port to a group or to everybody at the link.
#   calls.py FROM PORT GROUP PORT
import socket
import sys

source, port, group, peer = sys.argv[1:]
with socket.socket(socket.AF_INET6 if ":" in group else socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"far0")
    one.bind((source, int(port)))
    one.sendto(b"x", (group, int(peer)))
