# SPDX-License-Identifier: Apache-2.0
# Races: the driver under ThreadSanitizer on the host (tests/race), under helgrind in the guest (tests/csi/helgrind.sh). Two commands at one
# header (tests/race/two_names.sh, and tests/loopdev/two_names.sh in the guest).

RACE_BIN := $(O)/tsan-csi/cryptvol-csi
HOST_TESTS_EXTRA += tests/race/tsan.sh tests/race/two_names.sh
RACE_PRELOAD := $(O)/race/preload.so
CHECK_BINARIES += $(RACE_BIN) $(RACE_PRELOAD)
check-host: $(RACE_BIN) $(RACE_PRELOAD)

# Objects of its own; the prerequisites are only when to look.
$(RACE_BIN): $(CSI_OBJ) $(LIB_A) tests/unit/test_csi_locks.c
	$(Q)$(MAKE) O=$(O)/tsan-csi SAN=thread csi $(O)/tsan-csi/unit/test_csi_locks
	@touch $@

# The order that the library's completion queue makes, for tools that don't see it.
$(RACE_PRELOAD): tests/race/preload.c
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) -std=gnu17 -shared -fPIC -Wall -Wextra -Werror -o $@ $< -ldl

.PHONY: check-race
check-race: $(RACE_BIN) $(RACE_PRELOAD) $(CSI) lab-tools ## the driver under ThreadSanitizer, and under helgrind in the guest
	tests/run -o $(RESULTS) tests/race/tsan.sh tests/csi/helgrind.sh
