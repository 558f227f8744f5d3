# A thin front for CMake, ninja, ctest and apt: see README.md. Each target installs the Debian packages that it misses
# (as root or with passwordless sudo; otherwise it says which ones to ask for).
#
#   make            build/release: bin/hawser, bin/hawserd, lib/librdmacm.so.1, lib/libibverbs.so.1
#   make demo       Debian's rping, unmodified, over Hawser on 127.0.0.1
#   make test       every test (unit, explore, end to end)
#   make test-kernel  against a Debian kernel with rdma_rxe, in QEMU (docs/kernel-peer.md): KERNEL_ARGS='-k rping'
#   make explore    every mutant, then the scenarios from new seeds: EXPLORE_SECONDS=600
#   make fuzz       every fuzzer, with what it found before: FUZZ_SECONDS=600, FUZZ_SEED=N
#   make bench      the figures of README.md on this machine
#   make check      format, lint, clang-tidy, clang's thread-safety analysis
#   make install    into $(DESTDIR)$(PREFIX)
#   make packages   everything that any of the above needs, but test-kernel
#   make clean      removes build/

PREFIX ?= /usr/local
DESTDIR ?=
CTEST_ARGS ?=
KERNEL_ARGS ?=
HAWSER_KERNEL ?=
EXPLORE_SECONDS ?= 600
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 0
JOBS := $(shell nproc 2>/dev/null || echo 1)
RELEASE := build/release

.PHONY: all demo test test-kernel explore fuzz bench check install packages clean
.DELETE_ON_ERROR:

all: $(RELEASE)/build.ninja
	@cmake --build $(RELEASE) --target product

# Configured once; afterwards ninja itself runs cmake again when a CMakeLists.txt has changed.
build/%/build.ninja: CMakePresets.json | packages-build
	@cmake --preset $* >build/.$*-configure.log 2>&1 || { cat build/.$*-configure.log >&2; exit 1; }
	@touch $@

packages-%:
	@mkdir -p build
	@tools/packages.sh $(subst -, ,$*)

packages: packages-build-demo-bench-test-check

demo: packages-build-demo all
	@tools/demo.sh $(RELEASE)

test: packages-build-test $(RELEASE)/build.ninja
	@cmake --build $(RELEASE)
	@ctest --test-dir $(RELEASE) --output-on-failure -j $(JOBS) $(CTEST_ARGS)

# Not part of `make test`: it needs QEMU, downloads a kernel once, and boots it.
test-kernel: packages-build-test-kernel $(RELEASE)/build.ninja
	@cmake --build $(RELEASE) --target product e2e_programs
	@HAWSER_BUILD=$(RELEASE) HAWSER_KERNEL='$(HAWSER_KERNEL)' timeout -s INT -k 60 1800 /usr/bin/python3 -B -m pytest -q -p no:cacheprovider tests/e2e/kernel $(KERNEL_ARGS)

explore: packages-build-test $(RELEASE)/build.ninja
	@cmake --build $(RELEASE) --target explore_programs explore_unit_programs
	@tools/explore.py $(RELEASE) $(EXPLORE_SECONDS)

# The programs with threads run under both sanitizers.
fuzz: packages-build-check build/fuzz/build.ninja build/tsan/build.ninja
	@cmake --build build/fuzz --target fuzz_programs
	@cmake --build build/tsan --target hawser-fuzz-threads hawser-fuzz-calls
	@tools/fuzz.py $(FUZZ_SECONDS) $(FUZZ_SEED) build/fuzz build/tsan

bench: packages-build-demo-bench $(RELEASE)/build.ninja
	@cmake --build $(RELEASE) --target product bench
	@bench/run.py $(RELEASE)

check: packages-build-check build/check/build.ninja
	@tools/check.sh

install: all
	@DESTDIR='$(DESTDIR)' cmake --install $(RELEASE) --prefix '$(PREFIX)'

clean:
	rm -rf build
