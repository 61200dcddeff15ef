# SPDX-License-Identifier: Apache-2.0
# Code for 64-bit ARM, run under qemu-user: argon2 with what it takes, linked statically.

ARM64_CC ?= aarch64-linux-gnu-gcc
ARM64_SRC := tests/arm64/argon2.c $(ARGON2_OWN) src/crypto/crew.c $(wildcard src/base/*.c)
HOST_TESTS_EXTRA += tests/arm64/argon2.sh

$(O)/arm64/argon2: $(ARM64_SRC) $(wildcard src/crypto/*.h src/base/*.h include/cryptvol/*.h tests/unit/*.h) $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(ARM64_CC) $(CPPFLAGS_ALL) -Itests/unit -Isrc -std=gnu17 -O2 -g -pthread -static $(WARN) -o $@ $(ARM64_SRC)
