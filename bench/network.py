#!/usr/bin/env python3
"""What a sandbox's network costs: its start, what goes through it, and names. Everything in one run, interleaved.

    network.py ZVIZ [--rounds N] [--starts N] [--only starts|flows|names] [--of FAMILY] [--quick]

As root, with zviz-net beside ZVIZ. The sandboxes, the server that they speak to, the hosts that they are on, Docker's daemon and
all else are in network namespaces that this script makes and takes down again; the machine's own has no part in it. Every round
makes every contestant anew and runs it once, in an order that changes. Numbers are medians; ratios are of each round's pair,
and the median of them. The server and who speaks to it have processors of their own, half of them each: where the system puts
them differs from run to run by more than rules cost. What cannot be shown is left out, with its reason. --of takes flows of one
family alone: veth, "zviz bridge", ... --quick tries everything once, and its numbers mean nothing.
"""

import argparse
import contextlib
import glob
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

# No file beside the sources.
sys.dont_write_bytecode = True
from network_world import CLIENT, HOST, OTHER, SERVER, TOP, USER, WORKERS, Absent, Shell, World, needed, said

# What is seen outside of it is nothing: devices, processes and files in memory go with it. TUN devices are for everybody, as
# udev leaves them.
PRIVATE_VIEW = f"""
mount --make-rprivate / && mount -t tmpfs -o mode=755 none /run && mkdir {TOP} &&
echo nameserver {SERVER} >{TOP}/resolv.conf && mount --bind {TOP}/resolv.conf /etc/resolv.conf &&
if [ -d /dev/net ]; then mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200; fi && ip link set lo up && exec "$@"
"""
BAR = 0.95
# The server is what the last of 20 lets through.
DENIED = [f"198.51.100.{n}/32:{port}" for n, port in ((1, 25), (2, 465), (3, 587), (4, 22), (5, 23), (6, 445), (7, 3389))]
ALLOWED = [f"198.51.100.{n}/32:{port}" for n, port in zip(range(20, 32), (443, 80, 5432, 6379, 443, 80, 22, 8080, 443, 53, 853, 993))]
# As many names are asked one after the other, and as many at once.
NAMES = 64
PROFILES = {
    "plain": "",
    "rules": f"network: {{egress: {{deny: {json.dumps(DENIED)}}}, allow_cidrs: {json.dumps([*ALLOWED, f'{SERVER}/32'])}}}",
    "names": f"network: {{allow_domains: [{HOST}]}}",
    "many": f"network: {{allow_domains: {json.dumps([f'{kind}{n}.bench.example' for kind in 'ab' for n in range(NAMES)])}}}",
}
# What every packet filter costs that knows connections: the kernel's tracking of them.
TRACKING = """add table inet t
add chain inet t c { type filter hook output priority 0; }
add rule inet t c ct state established,related counter accept
"""
TRACKED = "veth, tracking alone"
# And what every packet filter costs that sees what goes out and what comes in.
EMPTY = """add table inet t
add chain inet t o { type filter hook output priority 0; }
add chain inet t i { type filter hook input priority 0; }
"""
UNRULED = "veth, empty chains"
ADDED = {"plain": "", "rules": ", 20 rules", "names": ", by name"}


def profiles():
    for name, text in PROFILES.items():
        with open(f"{TOP}/profiles/{name}.yaml", "w") as file:
            file.write(f"name: {name}\nextends: default\n{text}\n")


def profile(name):
    return f"{TOP}/profiles/{name}.yaml"


def tried(what, make):
    """What is made, or None and the reason on the output."""
    try:
        return make()
    except (Absent, OSError) as error:
        print(f"{what}: left out: {error}", flush=True)
        return None


def shuffled(names):
    return random.sample(list(names), len(names))


def by_family(names):
    """An order in which what is compared with each other comes close together, whatever else the machine does meanwhile."""
    families = {}
    for name in names:
        families.setdefault(name.split(",")[0], []).append(name)
    return [name for family in shuffled(families) for name in shuffled(families[family])]


def table(title, head, rows):
    width = max(len(name) for name, _ in rows) + 2
    print(f"\n{title}\n\n{'':{width}}" + "".join(f"{word:>12}" for word in head))
    for name, cells in rows:
        print(f"{name:{width}}" + "".join(f"{cell:>12}" for cell in cells))
    sys.stdout.flush()


def number(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def median_ratio(values, base):
    pairs = [a / b for a, b in zip(values, base) if a and b]
    return statistics.median(pairs) if pairs else None


def starts(world, rounds):
    """From spawn to exit of `true`, the end of the sandbox included."""
    space, pod = world.host, world.space("pod")
    bases, contestants = {}, {}
    for mode in ("none", "host", "bridge", "pasta"):
        for with_, added in ADDED.items():
            words = ["run", "--cwd", "/", "--net", mode, "--profile", profile(with_), "--", "true"]
            contestants[f"{mode}{added}"] = world.zviz_in(space, *words)
            bases[f"{mode}{added}"] = "none"
    for mode, joined in (("new", None), ("join", pod)):
        for with_, added in ADDED.items():
            name = f"bundle: {mode}{added}"
            folder = world.bundle(f"{mode}-{with_}", ["true"], joined, with_)
            contestants[name] = world.zviz_in(space, "run", "--bundle", folder, f"{mode}-{with_}")
            bases[name] = "bundle: new"
    there = [name for name, argv in contestants.items() if tried(name, lambda: said(argv)) is not None]
    times = {name: [] for name in there}
    for at in range(rounds + 1):
        for name in by_family(there):
            begin = time.perf_counter()
            said(contestants[name])
            if at > 0 or rounds == 1:
                times[name].append((time.perf_counter() - begin) * 1000)
    rows = []
    for name in there:
        values, base = times[name], times.get(bases[name])
        more = statistics.median(a - b for a, b in zip(values, base)) if base else None
        ratio = median_ratio(values, base or [])
        rows.append((name, [number(statistics.median(values)), number(min(values)),
                            "-" if more is None else f"{more:+.2f}", number(ratio)]))
    title = f"start of a sandbox, milliseconds; over and by `none`, for bundles over and by a new namespace; {rounds} rounds"
    if rows:
        table(title, ["median", "min", "over", "by"], rows)


def sandbox(world, name, space, mode, with_):
    words = ["run", "--cwd", "/", "--net", mode, "--profile", profile(with_), "--", "sh"]
    return Shell(world.zviz_in(space, *words), name)


@contextlib.contextmanager
def joined(world, space, name, with_, rules=""):
    """A container at the one end of a pair of devices, while this lasts. The server is at the other."""
    with world.for_now():
        if rules:
            said(["nsenter", space, needed("nft"), rules])
            world.stack.callback(lambda: said(["nsenter", space, "nft", "delete table inet t"]))
        folder = world.bundle("joined", ["sh"], space, with_)
        shell = Shell(world.zviz_in(world.host, "run", "--bundle", folder, "joined"), name)
        world.stack.callback(shell.close)
        yield shell


def forwards(space):
    said(["nsenter", space, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
    return space


def by_docker(name, docker):
    words = [*docker, "run", "--rm", "--interactive", "--volume", "/usr:/usr:ro", "box", "sh"]
    return Shell(words, name)


def by_hand(world, name):
    """The shape of Docker's: a bridge, a pair of devices, masquerade."""
    host, inner = forwards(world.space("by-hand")), world.space("inner", linked=False)
    script = f"""{needed('ip')} link add b0 type bridge; ip addr add 172.17.0.1/16 dev b0; ip link set b0 up
    ip link add v0 type veth peer name eth0 netns {inner[6:]}; ip link set v0 master b0 up
    nft add table ip t; nft 'add chain ip t c {{ type nat hook postrouting priority 100; }}'
    nft add rule ip t c ip saddr 172.17.0.0/16 oifname != b0 masquerade"""
    said(["nsenter", host, "sh", "-ec", script])
    said(["nsenter", inner, "sh", "-ec", "ip addr add 172.17.0.2/16 dev eth0; ip link set eth0 up; ip route add default via 172.17.0.1"])
    return Shell(["nsenter", inner, "sh"], name)


def by_pasta(world, name):
    words = [needed("pasta"), "--quiet", "--config-net", "--no-map-gw", *(word for flag in "tuTU" for word in (f"-{flag}", "none"))]
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return Shell(["nsenter", world.space("pasta"), *as_user, *words, "sh"], name)


def by_slirp(world, name):
    host, inner = world.space("slirp"), world.space("inner-slirp", linked=False)
    flags = ["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", inner[6:], "tap0"]
    world.start([needed("slirp4netns"), *flags], host)
    shell = Shell(["nsenter", inner, "sh"], name)
    world.stack.callback(shell.close)
    shell.does("for i in $(seq 200); do ip route | grep -q default && break; sleep 0.05; done; ip route | grep -q default")
    return shell


def iperf(flags):
    def measure(shell, to):
        words = f"{CLIENT} iperf3 -c {to} --json {flags}"
        for _ in range(20):
            # Its own status says nothing that its words do not.
            found = json.loads(shell.does(f"{words} || true"))
            error = found.get("error", "")
            if "busy" not in error:
                break
            # It is about to be done with the last one.
            time.sleep(0.1)
        try:
            return found["end"]["sum_received"]["bits_per_second"] / 1e9
        except KeyError:
            raise Absent(f"{shell.name}: {words}: {error or 'no sum'}") from None

    return measure


def wrk(flags):
    def measure(shell, to):
        output = shell.does(f"{CLIENT} wrk -t{WORKERS} -c16 -d1s {flags} http://{to}/")
        lines = [line for line in output.splitlines() if line.startswith("Requests/sec")]
        wrong = [line.strip() for line in output.splitlines() if "Socket errors" in line or "Non-2xx" in line]
        if not lines or (wrong and "timeout 0" not in wrong[0]):
            raise Absent(f"{shell.name}: wrk: {wrong or output[-80:]}")
        return float(lines[0].split()[1])

    return measure


def holds(shell, to, ruled):
    """Whether what may be reached is, and what may not is not: rules that hold nothing cost nothing."""
    shell.does(f"iperf3 -c {to} -n 1M >/dev/null")
    connect = f"import socket; socket.create_connection(('{OTHER}', 80), 3)"
    reached = shell.does(f'python3 -c "{connect}" 2>/dev/null && echo yes || echo no').strip() == "yes"
    if reached == ruled:
        raise Absent(f"{OTHER} is {'reached in spite of the policy' if ruled else 'not reached'}")
    return True


def one_round(world, makers, guests, measures):
    """Every contestant anew, and once everything with each: its name, what it was, and what came of it, perhaps nothing."""
    shells, to = {}, lambda name: HOST if name.endswith("by name") else SERVER
    pair = world.space("pair")

    def fit(name, shell):
        world.stack.callback(shell.close)
        return holds(shell, to(name), name.endswith(("rules", "by name"))) and shell

    def measured(what, name):
        if name not in guests:
            return measures[what](shells[name], to(name)) if shells[name] else None
        with guests[name](pair, name) as shell:
            holds(shell, to(name), name.endswith(("rules", "by name")))
            return measures[what](shell, to(name))

    for name in shuffled(makers):
        shells[name] = tried(name, lambda: fit(name, makers[name](name)))
    for what in shuffled(measures):
        for name in by_family([*makers, *guests]):
            yield name, what, tried(f"{name}, {what}", lambda: measured(what, name))


def flows(world, rounds, cgroup, family, quick):
    amount = "-n 16M" if quick else "-t 1"
    measures = {
        "1 out": iperf(amount),
        "1 in": iperf(f"{amount} -R"),
        "4 out": iperf(f"{amount} -P 4"),
        "4 in": iperf(f"{amount} -P 4 -R"),
        "kept": wrk(""),
        "short": wrk("-H 'Connection: close'"),
    }
    makers, guests, bases = {}, {}, {}
    kinds = [*((f"veth{added}", with_, "") for with_, added in ADDED.items()), (TRACKED, "plain", TRACKING), (UNRULED, "plain", EMPTY)]
    for name, with_, rules in kinds:
        guests[name] = lambda space, name, with_=with_, rules=rules: joined(world, space, name, with_, rules)
        bases[name] = "veth"
    for mode in ("bridge", "pasta"):
        for with_, added in ADDED.items():
            name = f"zviz {mode}{added}"
            makers[name] = lambda name, mode=mode, with_=with_: sandbox(world, name, world.space(f"{mode}-{with_}"), mode, with_)
            bases[name] = f"zviz {mode}"
    docker = tried("Docker bridge", lambda: world.docker(cgroup)) if family in (None, "Docker bridge") else None
    if docker:
        makers["Docker bridge"] = lambda name: by_docker(name, docker)
    else:
        makers["bridge, masquerade"] = lambda name: by_hand(world, name)
    makers["pasta"] = lambda name: by_pasta(world, name)
    makers["slirp4netns"] = lambda name: by_slirp(world, name)
    makers, guests = ({name: make for name, make in some.items() if family in (None, name.split(",")[0])} for some in (makers, guests))
    found = {name: {what: [] for what in measures} for name in (*guests, *makers)}
    for at in range(rounds + (0 if quick else 1)):
        # Two pairs of devices that are alike differ by up to a tenth, each for as long as it lasts. `veth` with whatever rules is
        # one pair, which containers share one after the other.
        with world.for_now():
            for name, what, value in one_round(world, makers, guests, measures):
                if at > 0 or quick:
                    found[name][what].append(value)
    found = {name: values for name, values in found.items() if any(map(any, values.values()))}
    if not found:
        return

    def medians(name, what):
        values = [value for value in found[name][what] if value]
        return statistics.median(values) if values else None

    def ratios(name, base):
        each = (median_ratio(found[name][what], found[base][what]) for what in measures)
        return ["-" if ratio is None else f"{ratio:.3f}" for ratio in each]

    rows = [(name, [number(medians(name, what)) for what in measures]) for name in found]
    table(f"from a sandbox to a server: Gbit/s by iperf3 with 1 and 4 streams, requests/s by wrk on nginx (16 connections, "
          f"kept and short); {rounds} rounds", list(measures), rows)
    pairs = [(name, bases[name]) for name in found if name in bases and bases[name] != name and bases[name] in found]
    if pairs:
        table(f"the same with a policy, by without (at least {BAR} is asked of `veth, 20 rules`)", list(measures),
              [(name, ratios(name, base)) for name, base in pairs])
    ours = [name for name in ("zviz bridge", "zviz bridge, 20 rules", "zviz pasta", "zviz pasta, 20 rules") if name in found]
    peers = [name for name in ("Docker bridge", "bridge, masquerade", "pasta", "slirp4netns") if name in found]
    if ours and peers:
        table("zviz by its peers", list(measures), [(f"{one} / {peer}", ratios(one, peer)) for one in ours for peer in peers
                                                    if ("pasta" in one) == (peer in ("pasta", "slirp4netns"))])


def names(world, rounds):
    kinds = {"one at a time": ("a", 1), "16 at once": ("b", 16)}
    rows = {}

    def ask(shell, kind, script):
        letter, at_once = kinds[kind]
        listed = " ".join(f"{letter}{n}.bench.example" for n in range(NAMES))
        return NAMES / float(shell.does(f"python3 {script} {SERVER} {at_once} {listed}"))

    space = world.space("asks")
    folders = {with_: world.bundle(f"asks-{with_}", ["sh"], space, with_) for with_ in ("plain", "many")}
    for at in range(rounds):
        # Fresh ones: a resolver remembers, and a packet filter does.
        for with_ in shuffled(folders):
            name = f"asks-{with_}-{at}"
            shell = Shell(world.zviz_in(world.host, "run", "--bundle", folders[with_], name), name)
            try:
                passes = ["cold", "cached"] if with_ == "many" else ["upstream directly"]
                for passed in passes:
                    for kind in kinds:
                        rows.setdefault((passed, kind), []).append(ask(shell, kind, "/client.py"))
            finally:
                shell.close()
    order = [name for name in ("upstream directly", "cold", "cached") if (name, "16 at once") in rows]
    cells = []
    for name in order:
        values = [statistics.median(rows[name, kind]) for kind in kinds]
        direct = [median_ratio(rows[name, kind], rows["upstream directly", kind]) for kind in kinds]
        cells.append((name if name == order[0] else f"resolver, {name}",
                      [f"{1e6 / values[0]:,.0f}", *map(number, values), *map(number, direct)]))
    title = "names: microseconds each, questions/s one at a time and 16 at once, and by asking directly"
    how = f"{NAMES} names, {rounds} rounds; client and upstream are the same python3 in each row"
    table(f"{title}; {how}", ["us", "1", "16", "1 by", "16 by"], cells)


def inside(options, cgroup):
    quick = options.quick
    with World(os.path.abspath(options.zviz)) as world:
        profiles()
        parts = {
            "starts": lambda: starts(world, 1 if quick else options.starts),
            "flows": lambda: flows(world, 1 if quick else options.rounds, cgroup, options.of, quick),
            "names": lambda: names(world, 1 if quick else options.rounds),
        }
        for name, part in parts.items():
            if options.only in (None, name):
                before = os.getloadavg()[0]
                tried(name, part)
                print(f"\n(load {before:.1f} before, {os.getloadavg()[0]:.1f} after, {os.cpu_count()} processors)", flush=True)


def cgroups_removed(prefix):
    """Those of Docker's containers, which are in no namespace that ends: ours, and of runs that were killed."""
    tops = ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{entry}" for entry in os.listdir("/sys/fs/cgroup"))]
    left = [path for top in tops for path in glob.glob(f"{top}/{prefix}*") if ours_or_dead(path.rpartition("-")[2])]
    end = time.monotonic() + 10
    for path in left:
        for folder, _, _ in os.walk(path, topdown=False):
            # What was in it may be about to end.
            while not removed(folder) and time.monotonic() < end:
                time.sleep(0.02)


def ours_or_dead(pid):
    return pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}")


def removed(folder):
    try:
        os.rmdir(folder)
    except OSError:
        return not os.path.exists(folder)
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zviz")
    parser.add_argument("--rounds", type=int, default=7, help="of flows and of names")
    parser.add_argument("--starts", type=int, default=30, help="rounds of starts")
    parser.add_argument("--only", choices=("starts", "flows", "names"))
    parser.add_argument("--of", metavar="FAMILY")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options, options.inside)
    programs = ("ip", "nsenter", "unshare", "setpriv", "taskset", "iperf3", "wrk", "nginx")
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        sys.exit(f"not installed: {' '.join(missing)}" if missing else "this is for root, who may make network namespaces")
    prefix = "zviz-bench-"
    cgroup = f"{prefix}{os.getpid()}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    # Who kills this ends unshare(1), which ends the process namespace.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    again = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--inside", cgroup]
    process = subprocess.Popen([*unshare, "sh", "-c", PRIVATE_VIEW, "sh", *again])
    try:
        status = process.wait()
    finally:
        process.kill()
        process.wait()
        cgroups_removed(prefix)
    sys.exit(status)


if __name__ == "__main__":
    main()
