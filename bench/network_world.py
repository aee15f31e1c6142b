"""The world that network.py measures in: network namespaces, none of which is the machine's own, and servers in one of them.

    server 203.0.113.2: iperf3, nginx, a DNS server ── one pair of devices to every other namespace, which has its way out by it

Every namespace is held by a process of ours. All of it lives in a process namespace and on a file system in memory that end with
the script, however that ends.
"""

import contextlib
import ipaddress
import json
import os
import select
import shutil
import signal
import subprocess
import time

TOP = "/run/bench"
SERVER = "203.0.113.2"
# Answers like it, and no policy lets it be reached.
OTHER = "203.0.113.3"
USER = "1000"
# Every link has addresses that none has had before: for a minute the server takes what comes by NAT from another sandbox, under the
# address and port of a connection that it has closed, for packets of that one.
LINKS = ipaddress.ip_address("198.18.0.0")
PATIENCE = 60
HOST = "host.bench.example"
# Processors of the server, and of who speaks to it.
ALL = sorted(os.sched_getaffinity(0))
WORKERS = max(len(ALL) // 2, 1)
AT_SERVER, CLIENT = (f"taskset -c {','.join(map(str, some))}" for some in (ALL[:WORKERS], ALL[-WORKERS:]))

NGINX = """daemon off; worker_processes {workers}; pid {top}/nginx.pid; error_log {top}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; types {{ }} default_type text/plain;
  client_body_temp_path {top}/n1; proxy_temp_path {top}/n2; fastcgi_temp_path {top}/n3; uwsgi_temp_path {top}/n4; scgi_temp_path {top}/n5;
  server {{ listen 80 backlog=4096; location / {{ return 200 "{body}"; }} }}
}}
"""

# Every name below bench.example has the server's address.
DNS_SERVER = """
import socket, struct, sys
address = socket.inet_aton(sys.argv[1])
answer = b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 3600, 4) + address
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as it:
    it.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    it.bind((sys.argv[1], 53))
    while True:
        asked, who = it.recvfrom(2000)
        end = asked.index(0, 12) + 5
        kind = asked[end - 4:end - 2]
        count = 1 if kind == b"\\0\\1" else 0
        it.sendto(asked[:2] + b"\\x85\\x80" + struct.pack(">HHHH", 1, count, 0, 0) + asked[12:end] + answer * count, who)
"""

# Asks for each of the names once, so many at a time, and prints the seconds.
DNS_CLIENT = """
import socket, struct, sys, time
server, at_once, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
questions = {}
for number, name in enumerate(names):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    questions[number] = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as it:
    it.connect((server, 53))
    it.settimeout(10)
    left, out, begin = list(questions), set(), time.perf_counter()
    while left or out:
        while left and len(out) < at_once:
            number = left.pop()
            out.add(number)
            it.send(questions[number])
        answer = it.recv(2000)
        number, flags, _, count = struct.unpack(">HHHH", answer[:8])
        if flags & 15 or not count:
            sys.exit(f"{names[number]}: no address: {flags:#x}")
        out.discard(number)
    print(time.perf_counter() - begin)
"""


class Absent(Exception):
    """What cannot be shown here, and why."""


def said(argv):
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Absent(f"{' '.join(argv[:6])}: {done.returncode}: {''.join(last)}")
    return done.stdout


def needed(program):
    found = shutil.which(program)
    if found is None:
        raise Absent(f"{program} is not installed")
    return found


def wait_for(what, there, patience=PATIENCE):
    end = time.monotonic() + patience
    while not there():
        if time.monotonic() > end:
            raise Absent(f"{what}: not there after {patience} s")
        time.sleep(0.01)


class Shell:
    """A shell in a sandbox, which does what it is told until it is closed."""

    def __init__(self, argv, name):
        self.name, self.rest = name, b""
        self.log = open(os.path.join(TOP, f"shell-{name.replace(' ', '-').replace('/', '-')}.log"), "w+")
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, cwd="/")
        try:
            self.does("true")
        except BaseException:
            self.close()
            raise

    def complaint(self):
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line]
        return (errors or lines or ["it has ended without a word"])[-1]

    def does(self, command, patience=PATIENCE):
        """Its output; `Absent` if it does not succeed."""
        try:
            self.process.stdin.write(f"{{ {command}; }} 2>&1 </dev/null; echo .END $?\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        end = time.monotonic() + patience
        while b"\n.END " not in b"\n" + self.rest or not self.rest.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Absent(f"{self.name}: no answer in {patience} s: {command[:60]}")
            some = os.read(self.process.stdout.fileno(), 1 << 16)
            if not some:
                self.process.wait()
                raise Absent(f"{self.name}: {self.complaint()}")
            self.rest += some
        output, _, status = self.rest.decode(errors="replace").rpartition(".END ")
        self.rest = b""
        if status.strip() != "0":
            last = [line for line in output.splitlines() if line.strip()][-1:]
            raise Absent(f"{self.name}: {command[:60]}: {status.strip()}: {''.join(last)}")
        return output

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


class World:
    """Made by `with`; everything that was started ends with it, in the reverse order."""

    def __init__(self, zviz):
        self.zviz, self.links, self.stack = zviz, 0, contextlib.ExitStack()

    def __enter__(self):
        try:
            os.makedirs(TOP, exist_ok=True)
            os.chmod(TOP, 0o755)
            for name, text in (("server.py", DNS_SERVER), ("client.py", DNS_CLIENT)):
                self.write(name, text)
            self.write("config.yaml", f"annotations: {{folder: {TOP}/profiles}}\n")
            os.makedirs(f"{TOP}/profiles")
            self.root = self.rootfs()
            self.server = self.space("server", linked=False)
            for address in (SERVER, OTHER):
                said(["nsenter", self.server, "ip", "addr", "add", f"{address}/32", "dev", "lo"])
            self.write("nginx.conf", NGINX.format(top=TOP, body="x" * 128, workers=WORKERS))
            self.start([*AT_SERVER.split(), needed("iperf3"), "-s"], self.server)
            self.start([*AT_SERVER.split(), needed("nginx"), "-c", f"{TOP}/nginx.conf", "-p", TOP, "-e", f"{TOP}/nginx.log"], self.server)
            self.start(["python3", f"{TOP}/server.py", SERVER], self.server)
            self.host = self.space("host")
            self.peers = Shell(["nsenter", self.host, "sh"], "the host")
            self.stack.callback(self.peers.close)
            ask = f"python3 {TOP}/client.py {SERVER} 1 {HOST}"
            for what in (f"iperf3 -c {SERVER} -n 1M", f"wrk -t1 -c1 -d1s http://{SERVER}/", ask):
                self.try_for(what)
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def try_for(self, command):
        def there():
            with contextlib.suppress(Absent):
                self.peers.does(command)
                return True

        wait_for(command, there, 20)

    def write(self, name, text):
        with open(os.path.join(TOP, name), "w") as file:
            file.write(text)

    def start(self, argv, space=None, stop=signal.SIGTERM):
        """A server. It is ended by its pid."""
        argv = ["nsenter", space, *argv] if space else argv
        log = open(os.path.join(TOP, f"{os.path.basename(argv[2] if space else argv[0])}.out"), "a")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

        def end():
            process.send_signal(stop)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

        self.stack.callback(end)
        return process

    def space(self, name, linked=True):
        """The flag of nsenter(1) for a fresh network namespace, linked to the server if wanted: nothing else is in between."""
        own = os.readlink("/proc/self/ns/net")
        holder = self.start(["unshare", "--net", "sleep", "infinity"], stop=signal.SIGKILL)
        path = f"/proc/{holder.pid}/ns/net"
        wait_for("a network namespace", lambda: os.readlink(path) != own)
        space = f"--net={path}"
        said(["nsenter", space, "ip", "link", "set", "lo", "up"])
        said(["nsenter", space, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"])
        if linked:
            self.links += 1
            there, here = (str(LINKS + 4 * self.links + at) for at in (1, 2))
            their = f"to-{name}"[:15]
            add = ["ip", "link", "add", "up0", "type", "veth", "peer", "name", their, "netns", self.server[6:]]
            said(["nsenter", space, *add])
            for where, device, address in ((self.server, their, there), (space, "up0", here)):
                said(["nsenter", where, "ip", "addr", "add", f"{address}/30", "dev", device])
                said(["nsenter", where, "ip", "link", "set", device, "up"])
            said(["nsenter", space, "ip", "route", "add", "default", "via", there])
            # With a namespace its devices go, but later.
            self.stack.callback(lambda: said(["nsenter", self.server, "ip", "link", "del", their]))
        return space

    @contextlib.contextmanager
    def for_now(self):
        """What is made in here ends with it, not with the world."""
        before = self.stack
        try:
            with contextlib.ExitStack() as self.stack:
                yield
        finally:
            self.stack = before

    def rootfs(self):
        """A root with the host's /usr, once that is bound there."""
        root = f"{TOP}/rootfs"
        for folder in ("usr", "proc", "dev", "sys", "tmp", "etc"):
            os.makedirs(f"{root}/{folder}")
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{link}", f"{root}/{link}")
        shutil.copy(f"{TOP}/client.py", f"{root}/client.py")
        texts = {"resolv.conf": f"nameserver {SERVER}", "hosts": "127.0.0.1 localhost", "services": "http 80/tcp"}
        for name, text in texts.items():
            with open(f"{root}/etc/{name}", "w") as file:
                file.write(f"{text}\n")
        return root

    def bundle(self, name, args, space=None, profile=None):
        """A bundle whose network namespace is new, or this one."""
        folder = f"{TOP}/bundle-{name}"
        os.makedirs(folder)
        said([self.zviz, "spec", "--bundle", folder])
        self.stack.callback(lambda: shutil.rmtree(folder))
        path = f"{folder}/config.json"
        with open(path) as file:
            config = json.load(file)
        config["root"] = {"path": self.root, "readonly": True}
        config["process"] |= {"terminal": False, "args": args}
        usr = {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
        tmp = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}
        config["mounts"] += [usr, tmp]
        if space:
            network = next(one for one in config["linux"]["namespaces"] if one["type"] == "network")
            network["path"] = space.removeprefix("--net=")
        if profile:
            config["annotations"] = {"zviz.io/profile": profile}
        with open(path, "w") as file:
            json.dump(config, file)
        return folder

    def zviz_in(self, space, *words):
        """The command line of zviz, run in a namespace."""
        return ["nsenter", space, self.zviz, "--root", f"{TOP}/zviz", "--config", f"{TOP}/config.yaml", *words]

    def docker(self, cgroup):
        """The command line of `docker`, with a daemon of our own in a namespace of its own, and an image `box`."""
        docker, daemon = needed("docker"), needed("dockerd")
        space = self.space("docker")
        words = [docker, "--host", f"unix://{TOP}/docker/sock", "--config", f"{TOP}/docker/client"]
        os.makedirs(f"{TOP}/docker")
        self.write("docker/none.json", "{}")
        flags = [f"--{flag}={TOP}/docker/{file}" for flag, file in
                 (("config-file", "none.json"), ("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid"))]
        flags += [f"--host=unix://{TOP}/docker/sock", "--storage-driver=vfs", f"--cgroup-parent=/{cgroup}"]
        process = self.start([daemon, *flags], space)

        def answers():
            if process.poll() is not None:
                with open(f"{TOP}/dockerd.out") as file:
                    raise Absent(f"dockerd: {file.read().strip().splitlines()[-1]}")
            return subprocess.run([*words, "version"], capture_output=True).returncode == 0

        wait_for("dockerd", answers)
        said(["tar", "-C", self.root, "-cf", f"{TOP}/box.tar", "."])
        said([*words, "import", f"{TOP}/box.tar", "box"])
        return words
