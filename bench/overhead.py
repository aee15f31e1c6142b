#!/usr/bin/env python3
"""What a sandbox costs whole programs while they run, interleaved with the same programs outside of one.

    overhead.py ZVIZ [--rounds N] [--profile P]

Every workload times the part of it that does the work, and runs as an ordinary user in both places: programs that are
served by a server run beside it. Ratios are of each round's pair; their median is what counts. The sandbox is what
`zviz run` makes: namespaces, filter, Landlock, limits, and a network with nothing but loopback. `least` is the same by a
filter that lets everything by and Landlock's rules at the very folders that are used (least.c): no sandbox that has both costs
less.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

UID = "1000"
TIMED = 'work() {{ {work}; }}\nbegin=$(date +%s%N)\nwork > log 2>&1 || {{ cat log >&2; exit 1; }}\nend=$(date +%s%N)\n'

# What the programs use, as near as it can be said.
USED = ("/usr/include", "/usr/bin", "/usr/lib", "/usr/share", "/usr", "/etc", "/dev", "/proc", "/tmp", "/var", "/run")

# Of each: what is made ready, what is timed, what is undone.
WORKLOADS = {
    "redis-benchmark": (
        "redis-server --bind 127.0.0.1 --port 7400 --save '' --appendonly no --daemonize yes > log\n"
        "until redis-cli -p 7400 ping > log 2>&1; do sleep 0.05; done",
        "redis-benchmark -p 7400 -n 50000 -c 20 -t get,set -q",
        "redis-cli -p 7400 shutdown nosave > log 2>&1 || true",
    ),
    # Without fsync, which would time the disk.
    "pgbench": (
        'export PATH="$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH"\nrm -rf data\n'
        "initdb -D data -A trust -U me --no-sync > log\n"
        "pg_ctl -D data -o '-k /tmp -p 7401 -h 127.0.0.1 -F' -w -l server start > log\n"
        "createdb -h /tmp -p 7401 -U me bench\npgbench -h /tmp -p 7401 -U me -q -i bench > log 2>&1",
        "pgbench -h 127.0.0.1 -p 7401 -U me -n -c 4 -j 2 -t 1000 bench",
        "pg_ctl -D data -m fast -w stop > log",
    ),
    "cargo build": ("rm -rf target", "cargo build --offline --release --quiet", ":"),
    "grep -r": (
        "grep -rc no_such_word /usr/include > log || true",
        "for i in 1 2 3 4 5; do grep -r no_such_word_anywhere /usr/include || true; done",
        ":",
    ),
    "python start-up": ("python3 -c pass", "for i in $(seq 50); do python3 -c pass; done", ":"),
}


def package(folder):
    """A package that takes a compiler seconds, and needs no other."""
    os.makedirs(os.path.join(folder, "src"))
    with open(os.path.join(folder, "Cargo.toml"), "w") as file:
        file.write('[package]\nname = "work"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n')
    body = "".join(
        f"fn step{n}(text: &str) -> Vec<(String, usize)> {{\n"
        f"    let mut words: Vec<_> = text.split('{chr(97 + n % 26)}').map(|word| (word.repeat({n % 7 + 1}), word.len())).collect();\n"
        "    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));\n    words\n}\n"
        for n in range(15)
    )
    calls = "".join(f"    total += step{n}(&text).len();\n" for n in range(15))
    with open(os.path.join(folder, "src", "main.rs"), "w") as file:
        file.write(
            f"{body}fn main() {{\n    let text = std::env::args().collect::<String>();\n    let mut total = 0;\n"
            f'{calls}    println!("{{total}}");\n}}\n'
        )


def once(argv, folder, environment):
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv[:8])}: {done.returncode}: {done.stderr}")
    return int(done.stdout.split()[-1]) / 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zviz")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--profile", default="default")
    parser.add_argument("--only", choices=WORKLOADS)
    options = parser.parse_args()
    zviz = os.path.abspath(options.zviz)
    toolchain = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(dir="/var/lib") as top:
        os.chmod(top, 0o755)
        # A home folder may be closed to whom the programs run as.
        rust = os.path.join(top, "rust")
        if toolchain:
            shutil.copytree(toolchain, rust, symlinks=True, copy_function=os.link if same(toolchain, top) else shutil.copy2)
        path = f"{rust}/bin:/usr/local/bin:/usr/bin:/bin"
        least = os.path.join(top, "least")
        has_least = subprocess.run(["cc", "-O2", "-o", least, os.path.join(os.path.dirname(__file__), "least.c")]).returncode == 0
        head = "".join(f"{word:>12}" for word in ("outside ms", "inside ms", "ratio", "least ms", "ratio"))
        print(f"{'':20}{head}   {options.rounds} rounds, profile {options.profile}")
        for name, (before, work, after) in WORKLOADS.items():
            if options.only not in (None, name):
                continue
            needed = work.split()[0].replace("for", "true")
            if shutil.which(needed, path=path + ":/usr/lib/postgresql") is None:
                print(f"{name:20}{needed} is not installed")
                continue
            script = f"set -e\n{before}\n{TIMED.format(work=work)}{after}\necho $((end - begin))\n"
            folder = os.path.join(top, name.replace(" ", "-"))
            os.mkdir(folder)
            if name == "cargo build":
                package(folder)
            subprocess.run(["chown", "-R", f"{UID}:{UID}", folder], check=True)
            environment = {"PATH": path, "HOME": folder, "LANG": "C.UTF-8"}
            inside = [zviz, "run", "--profile", options.profile, "--user", f"{UID}:{UID}", "--ro", rust]
            for key, value in environment.items():
                inside += ["--env", f"{key}={value}"]
            # A session of its own, as inside: the scheduler shares the processors between sessions (sched(7), autogroup).
            contestants = {
                "outside": ["setsid", "--wait", "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "sh", "-c", script],
                "inside": [*inside, "--", "sh", "-c", script],
            }
            if has_least:
                argv = contestants["outside"]
                used = [folder for folder in [*USED, rust, folder] if os.path.isdir(folder)]
                contestants["least"] = [*argv[:-3], least, *used, "--", *argv[-3:]]
            times = {place: [] for place in contestants}
            for number in range(options.rounds + 1):
                for place in random.sample(list(contestants), len(contestants)):
                    took = once(contestants[place], folder, environment)
                    if number > 0:
                        times[place].append(took)
            columns = f"{statistics.median(times['outside']):12.1f}"
            for place in contestants:
                if place != "outside":
                    ratio = statistics.median(b / a for a, b in zip(times["outside"], times[place]))
                    columns += f"{statistics.median(times[place]):12.1f}{ratio:12.3f}"
            print(f"{name:20}{columns}", flush=True)


def same(one, other):
    return os.stat(one).st_dev == os.stat(other).st_dev


main()
