#!/usr/bin/env python3
"""Start-up times beside those of the peers, interleaved: each round runs every contestant once, in an order that changes.

    startup.py ZVIZ SANDBOX [--rounds N]

ZVIZ is the command, SANDBOX the example of that name of zviz-runtime.
Prints medians and minima in milliseconds, and medians relative to the first peer of each table. crun refuses hosts with
cgroup v1 hierarchies, so everything runs in a private mount namespace that shows only cgroup2, and has /run, where all
of them keep their state, in memory as machines that systemd booted do; nothing of it is seen outside.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PRIVATE_VIEW = (
    "mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run && exec \"$@\""
)


def bundle(folder):
    """A bundle of busybox with runc's default config, whose program is `true`."""
    rootfs = os.path.join(folder, "rootfs", "bin")
    os.makedirs(rootfs)
    shutil.copy("/bin/busybox", rootfs)
    os.symlink("busybox", os.path.join(rootfs, "true"))
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    path = os.path.join(folder, "config.json")
    with open(path) as file:
        config = json.load(file)
    config["process"]["args"] = ["true"]
    config["process"]["terminal"] = False

    def write():
        with open(path, "w") as file:
            json.dump(config, file)

    write()
    if subprocess.run(["crun", "run", "probe"], cwd=folder, capture_output=True).returncode != 0:
        # crun raises RLIMIT_MEMLOCK before it loads a device program, which takes CAP_SYS_RESOURCE.
        print("crun cannot load a device program here: linux.resources is left out for all")
        del config["linux"]["resources"]
        write()


def once(argv, cwd):
    """Milliseconds from spawn to exit."""
    begin = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - begin) * 1000
    if status != 0:
        sys.exit(f"{' '.join(argv)}: wait status {status:#x}")
    return took


def compare(title, contestants, rounds, cwd):
    """Runs them and prints a table; the first one is zviz."""
    os.chdir(cwd)
    names = list(contestants)
    times = {name: [] for name in names}
    for number in range(rounds + 3):
        random.shuffle(names)
        for name in names:
            took = once([word.replace("{n}", str(number)) for word in contestants[name]], cwd)
            if number >= 3:
                times[name].append(took)
    ours = statistics.median(times[next(iter(contestants))])
    print(f"\n{title}, {rounds} rounds\n")
    print(f"{'':24}{'median ms':>12}{'min ms':>12}{'zviz / it':>12}")
    for name in contestants:
        median = statistics.median(times[name])
        print(f"{name:24}{median:12.2f}{min(times[name]):12.2f}{ours / median:12.2f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zviz")
    parser.add_argument("sandbox")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--in-view", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.in_view:
        programs = [os.path.abspath(options.zviz), os.path.abspath(options.sandbox)]
        again = [sys.executable, os.path.abspath(__file__), *programs, "--rounds", str(options.rounds), "--in-view"]
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", PRIVATE_VIEW, "sh", *again])
    with tempfile.TemporaryDirectory() as folder:
        bundle(folder)
        zviz = options.zviz
        compare(
            "run of a bundle (busybox true, runc's default config)",
            {
                "zviz run": [zviz, "run", "zviz-{n}"],
                "crun run": ["crun", "run", "crun-{n}"],
                "runc run": ["runc", "run", "runc-{n}"],
            },
            options.rounds,
            folder,
        )
        system = [f for f in ("/usr", "/etc", "/opt") if os.path.isdir(f)]
        links = [f for f in ("/bin", "/lib", "/lib64", "/sbin", "/lib32", "/libx32") if os.path.islink(f)]
        bwrap = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
        for path in system:
            bwrap += ["--ro-bind", path, path]
        for path in links:
            bwrap += ["--symlink", os.readlink(path), path]
        bwrap += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", "/var"]
        bwrap += ["--bind", folder, folder, "--chdir", folder, "true"]
        compare(
            "run of a command in a sandbox",
            {"zviz run -- true": [zviz, "run", "--", "true"], "bwrap --unshare-all": bwrap, "true": ["true"]},
            options.rounds,
            folder,
        )
        compiled = os.path.join(folder, "compiled")
        subprocess.run([zviz, "compile", "default", "--output", compiled], check=True, stdout=subprocess.DEVNULL)
        # One program in all three, whose start is the same: the library's example. A profile is never left out by zviz itself.
        compare(
            "run of a command by the library: what the default profile costs a start",
            {
                "compiled": [options.sandbox, "--compiled", compiled, "true"],
                "built in": [options.sandbox, "true"],
                "no filter, no Landlock": [options.sandbox, "--no-policy", "true"],
            },
            options.rounds,
            folder,
        )
        compare(
            "run of a command by zviz",
            {
                "--compiled": [zviz, "run", "--compiled", compiled, "--", "true"],
                "--profile default": [zviz, "run", "--profile", "default", "--", "true"],
                "no profile, by the library": [options.sandbox, "--no-policy", "true"],
            },
            options.rounds,
            folder,
        )


main()
