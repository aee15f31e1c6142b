#!/usr/bin/env python3
"""What mediated and filtered calls cost, interleaved, on one processor.

    calls.py ZVIZ SANDBOX [--rounds N]

ZVIZ is the command, SANDBOX the example of that name of zviz-runtime. Tables: calls that the broker answers, beside
a minimal supervisor in C; a call that the filter allows, beside the same sandbox without a filter; and whole
programs in both. Times are the tenth percentile of many batches, then the median over rounds; what counts are ratios.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

FILE = "/usr/include/stdio.h"
# As somebody writes it who hides secrets: files are all that the broker has to do, and one process answers.
PATTERNS = """name: patterns
extends: default
filesystem:
  hidden: ["*.pem", "*.key", "**/.ssh/**", "**/.aws/**", "**/.gnupg/**", "**/.netrc"]
  patterns: {deny_write: ["**/.git/hooks/**", "**/.git/config", "**/.bashrc", "**/.profile"]}
"""
# What is beside it takes two.
SOCKETS = "network: {ports: {deny_connect: [25, 465, 587]}}\n"
# What is looked for in whole programs is 2 %, which fewer rounds do not show.
PROGRAM_ROUNDS = 25
PROGRAMS = [
    ("grep -r", ["grep", "-r", "no_such_word_anywhere", "/usr/include"], (0, 1)),
    ("gcc -c", ["sh", "-c", "echo '#include <stdio.h>\nint f(void) { return getchar(); }' | gcc -O2 -x c -c -o /tmp/f.o -"], (0,)),
    ("200 forks", ["sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"], (0,)),
]


def nanoseconds(argv, folder):
    """Started in `folder`, since a sandbox sees the folder that it is started in."""
    done = subprocess.run(["taskset", "-c", "0", *argv], capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: {done.returncode}: {done.stderr}")
    return float(done.stdout)


def milliseconds(argv, statuses):
    begin = time.perf_counter()
    done = subprocess.run(["taskset", "-c", "0", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/")
    if done.returncode not in statuses:
        sys.exit(f"{' '.join(argv)}: {done.returncode}: {done.stderr}")
    return (time.perf_counter() - begin) * 1000


def table(title, unit, contestants, measure, rounds, base):
    """`contestants`: name to argv. Prints medians, and each relative to `base`."""
    taken = {name: [] for name in contestants}
    for _ in range(rounds):
        for name in random.sample(list(contestants), len(contestants)):
            taken[name].append(measure(contestants[name]))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"\n{title}, {rounds} rounds\n\n{'':36}{'median ' + unit:>12}{'min':>12}{'ratio':>8}")
    for name, values in taken.items():
        print(f"{name:36}{medians[name]:12.2f}{min(values):12.2f}{medians[name] / medians[base]:8.2f}")
    return medians


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zviz")
    parser.add_argument("sandbox")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    zviz, sandbox, rounds = os.path.abspath(options.zviz), os.path.abspath(options.sandbox), options.rounds
    with tempfile.TemporaryDirectory(dir="/var/lib") as folder:
        os.chmod(folder, 0o755)
        calls = os.path.join(folder, "calls")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calls.c")
        subprocess.run(["gcc", "-O2", "-static", "-o", calls, source], check=True)
        inside = ["--ro", f"{calls}:/calls", "--cwd", "/", "--", "/calls"]

        def single(argv):
            return nanoseconds(argv, folder)

        def of(profile):
            return [zviz, "run", "--profile", profile, *inside]

        table("a call that a supervisor answers: sysinfo", "ns", {
            "minimal supervisor in C": [calls, "supervise", "sysinfo", "-"],
            "zviz's broker (virtualised)": [*of("virtualised"), "measure", "sysinfo", "-"],
            "the kernel": [calls, "measure", "sysinfo", "-"],
        }, single, rounds, "minimal supervisor in C")
        own = {}
        for name, text in [("patterns", PATTERNS), ("sockets", PATTERNS + SOCKETS)]:
            own[name] = os.path.join(folder, f"{name}.yaml")
            with open(own[name], "w") as file:
                file.write(text)
        table("open and close, with rules about files", "ns", {
            "the kernel": [calls, "measure", "open", FILE],
            "minimal supervisor in C": [calls, "supervise", "open", FILE],
            "zviz's broker, one rule": [sandbox, "--files", calls, "measure", "open", FILE],
            "zviz's broker, ten patterns": [*of(own["patterns"]), "measure", "open", FILE],
            "and rules about sockets": [*of(own["sockets"]), "measure", "open", FILE],
        }, single, rounds, "minimal supervisor in C")
        table("open to be written, and close", "ns", {
            "the kernel": [calls, "measure", "create", os.path.join(folder, "written")],
            "minimal supervisor in C": [calls, "supervise", "create", os.path.join(folder, "written")],
            "zviz's broker, ten patterns": [*of(own["patterns"]), "measure", "create", "/tmp/written"],
            "zviz's broker (agent)": [*of("agent"), "measure", "create", "/tmp/written"],
        }, single, rounds, "minimal supervisor in C")
        for call, argument in [("getppid", "-"), ("open", FILE)]:
            medians = table(f"a call that the filter allows: {call}", "ns", {
                "no sandbox": [calls, "measure", call, argument],
                "default profile": [*of("default"), "measure", call, argument],
            }, single, rounds, "no sandbox")
            print(f"{'':36}{medians['default profile'] - medians['no sandbox']:+12.2f} ns (Landlock included for open)")
        for title, program, statuses in PROGRAMS:
            table(f"{title} in the default sandbox", "ms", {
                "without a filter": [sandbox, "--no-filter", *program],
                "with the filter": [sandbox, *program],
            }, lambda argv: milliseconds(argv, statuses), max(rounds, PROGRAM_ROUNDS), "without a filter")


main()
