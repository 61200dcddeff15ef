# SPDX-License-Identifier: Apache-2.0
# Crash states: a recorder of one writer's writes, and a judge of what a power cut could leave of them.

CRASH_BIN := $(O)/crash/record $(O)/crash/crashcheck
CRASH_ROOMS := $(O)/room_luks.a $(O)/room_crypto.a $(O)/room_base.a
HOST_TESTS_EXTRA += tests/crash/test_crash.sh
CHECK_BINARIES += $(CRASH_BIN)

$(O)/crash/record: tests/crash/record.c tests/crash/recorder.c $(CRASH_ROOMS) $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) -Wl,--wrap=pwrite64,--wrap=fsync,--wrap=fdatasync \
		-o $@ $(filter %.c,$^) -Wl,--start-group $(CRASH_ROOMS) -Wl,--end-group $(LIBS)

$(O)/crash/crashcheck: tests/crash/crashcheck.c tests/crash/judge.c tests/lab/states.h $(CRASH_ROOMS) $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) \
		-o $@ $(filter %.c,$^) -Wl,--start-group $(CRASH_ROOMS) -Wl,--end-group $(LIBS)

.PHONY: crash check-crash
crash: $(CRASH_BIN)
check-host: $(CRASH_BIN)
check-crash: $(CRASH_BIN) ## every crash state of every writer, and a planted wrong order in each
	tests/crash/test_crash.sh
