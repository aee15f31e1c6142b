# A server for names: those that it is given are told, all others do not exist. It writes down what it is asked.
# They last for TTL seconds, of the environment.
#   dns.py LOG NAME=ADDRESS...
import ipaddress
import os
import socket
import struct
import sys

ttl = int(os.environ.get("TTL", "60"))
log, given = sys.argv[1], [word.split("=") for word in sys.argv[2:]]
records = [(name, ipaddress.ip_address(address)) for name, address in given]
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
one.bind(("::", 53))
with open(log, "a", buffering=1) as record:
    record.write("ready\n")
    while True:
        asked, client = one.recvfrom(4096)
        end, labels = 12, []
        while asked[end]:
            labels.append(asked[end + 1 : end + 1 + asked[end]].decode("latin-1"))
            end += 1 + asked[end]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", asked[end + 1 : end + 3])[0]
        record.write(f"{name} {kind}\n")
        known = [address for of, address in records if of == name]
        data = [address.packed for address in known if {4: 1, 6: 28}[address.version] == kind]
        answers = [struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(bytes_)) + bytes_ for bytes_ in data]
        head = asked[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(answers), 0, 0)
        one.sendto(head + asked[12 : end + 5] + b"".join(answers), client)
