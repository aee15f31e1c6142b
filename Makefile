# make run    builds zviz and runs a real program in a sandbox
# make test   checks and tests everything that this machine can show
# make bench  compares start-up times with runc, crun and bubblewrap, and says what calls, whole programs and networks cost
# make test-vm  tests limits, systemd, AppArmor and SELinux in a virtual machine
# make fuzz   fuzzes each of FUZZ_TARGETS for FUZZ_SECONDS

TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
ZVIZ := target/$(TARGET)/release/zviz
VM ?= ../shared/vm/run
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= ask audit config decide policy program reports resolver

# To build; to run the tests; to compare with. Names of Debian packages.
BUILD_PACKAGES := gcc g++ pkg-config libseccomp-dev libnftnl-dev libmnl-dev
TEST_PACKAGES := busybox-static uidmap git make perl python3 python3-venv nodejs postgresql redis-server nginx-light \
	imagemagick sqlite3 gnupg openssh-client gdb apparmor \
	docker.io containerd podman buildah runc crun bubblewrap firejail strace iproute2 nftables passt util-linux
BENCH_PACKAGES := busybox-static runc crun bubblewrap python3 strace gcc libc6-dev \
	postgresql redis-server util-linux \
	iperf3 wrk nginx-light iproute2 nftables passt slirp4netns docker.io

.PHONY: build run test test-vm bench fuzz lint packages-build packages-test packages-bench

build: packages-build
	cargo build --release --locked

run: build
	sh bench/tour $(ZVIZ)

lint: packages-build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: lint packages-test
	sh tests/all
	sh tests/release

test-vm: packages-build
	sh tests/vm $(VM)

bench: packages-bench build
	cargo build --release --locked -p zviz-runtime --example sandbox
	python3 bench/startup.py $(ZVIZ) $(dir $(ZVIZ))examples/sandbox
	python3 bench/calls.py $(ZVIZ) $(dir $(ZVIZ))examples/sandbox
	python3 bench/overhead.py $(ZVIZ)
	python3 bench/network.py $(ZVIZ)

fuzz: packages-build
	set -e; for target in $(FUZZ_TARGETS); do sh fuzz/run $$target $(FUZZ_SECONDS); done

packages-build: ; @.ci/packages $(BUILD_PACKAGES)
packages-test: ; @.ci/packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
packages-bench: ; @.ci/packages $(BENCH_PACKAGES)
