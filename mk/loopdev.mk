# SPDX-License-Identifier: Apache-2.0
# Helpers of the kernel tests: each tests/loopdev/*.c is a program of its own.

LOOPDEV_SRC := $(wildcard tests/loopdev/*.c)
LOOPDEV_BIN := $(LOOPDEV_SRC:tests/loopdev/%.c=$(O)/loopdev/%)
CHECK_BINARIES += $(LOOPDEV_BIN)

$(O)/loopdev/%: tests/loopdev/%.c $(LIB_A) $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(LIB_A) $(LIBS)

-include $(LOOPDEV_BIN:=.d)

# The command under UBSan, for the guest (ASan and TSan don't run there).
CHECK_BINARIES += $(O)/ubsan/cryptvol
$(O)/ubsan/cryptvol: $(LIB_A) $(TOOL_OBJ)
	$(Q)$(MAKE) O=$(O)/ubsan SAN=undefined $(O)/ubsan/cryptvol
