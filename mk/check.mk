# SPDX-License-Identifier: Apache-2.0
# What runs where. `make check` is what CI runs; `make check-full` the same at full length. The entry points that set up the machine
# first are in the Makefile.

LINT_TESTS := $(wildcard tests/lint/*.py) $(wildcard tests/lint/*.sh)
# test_crypto_cipher needs AF_ALG: tests/loopdev/afalg.sh runs it in the guest.
HOST_TESTS = $(filter-out %/test_crypto_cipher,$(UNIT_BIN)) $(wildcard tests/lab/test_*.py) $(LINT_TESTS) tests/static/static.sh $(wildcard tests/conformance/test_*.sh) $(wildcard tests/library/*.sh tests/library/*.py) $(HOST_TESTS_EXTRA)
KERNEL_TESTS := $(wildcard tests/loopdev/*.sh) $(wildcard tests/interop/*.sh) $(wildcard tests/csi/*.sh) tests/demo/driver.sh $(KERNEL_TESTS_EXTRA)
RESULTS := $(O)/results

.PHONY: setup check-host check-kernel check-qemu check-san lint

setup: ## install what building and testing need (Debian 12)
	tests/lab/setup.sh build check lint qemu csi

# What check and check-full run when the machine is set up.
.PHONY: check-all
check-all: all csi unit $(CHECK_BINARIES) lab-tools
	FULL=$(FULL) tests/run -o $(RESULTS) $(HOST_TESTS) $(KERNEL_TESTS) tests/qemu/qemu.sh

check-host: all unit ## the tests that need no special kernel
	tests/run -o $(RESULTS) $(HOST_TESTS)

check-kernel: all csi $(CHECK_BINARIES) lab-tools ## the tests on a real kernel (guest, or this host if it has dm-crypt)
	tests/run -o $(RESULTS) $(KERNEL_TESTS)

check-qemu: all lab-tools $(O)/loopdev/dm_probe $(O)/loopdev/keyattack ## a few end-to-end cases on Debian's 6.12 kernel in QEMU
	tests/lab/setup.sh qemu
	tests/run -o $(RESULTS) tests/qemu/qemu.sh

.PHONY: demo-run
demo-run: all csi lab-tools
	tests/demo/run.sh driver
	tests/demo/run.sh demo

# ---- sanitizers, on the host, with objects of their own ----
check-san: ## unit tests under ASan+UBSan and TSan
	$(MAKE) O=$(O)/asan SAN=address,undefined check-unit
	$(MAKE) O=$(O)/tsan SAN=thread ROOMS='base crypto' check-unit

# ---- static analysis: warnings are errors; leaks and dead stores are left out, since neither tool knows the cleanup attribute (ASan and
# valgrind look for leaks) ----
CLANG_TIDY_CHECKS := -*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-branch-clone,-bugprone-assignment-in-if-condition,-bugprone-implicit-widening-of-multiplication-result,-bugprone-narrowing-conversions,clang-analyzer-*,-clang-analyzer-valist.Uninitialized,-clang-analyzer-unix.Malloc,-clang-analyzer-deadcode.DeadStores,-bugprone-misplaced-widening-cast,-bugprone-suspicious-string-compare,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,cert-err34-c,misc-redundant-expression
lint: lint-clang lint-analyzer lint-cppcheck lint-tidy ## clang, gcc -fanalyzer, cppcheck, clang-tidy: warnings are errors
lint-clang:
	$(MAKE) O=$(O)/clang CC=clang all unit
lint-analyzer:
	$(MAKE) O=$(O)/analyzer CPPFLAGS=-DCRYPTVOL_ANALYZE CFLAGS='-fanalyzer' $(O)/analyzer/rooms.a
lint-cppcheck:
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
		--suppress=normalCheckLevelMaxBranches --suppress=memleak --suppress=resourceLeak -Iinclude -D_GNU_SOURCE -j2 $(sort $(dir $(SRC) $(TOOL_SRC)))
# A file at a time: clang-tidy 14 sees uninitialised va_lists where it is given several.
lint-tidy:
	printf '%s\n' $(SRC) $(filter src/%,$(LEFT_OUT)) $(TOOL_SRC) | xargs -P2 -I{} clang-tidy --quiet --warnings-as-errors='*' \
		--checks='$(CLANG_TIDY_CHECKS)' {} -- -std=gnu17 -DCRYPTVOL_ANALYZE $(CPPFLAGS_ALL)
.PHONY: lint-clang lint-analyzer lint-cppcheck lint-tidy
