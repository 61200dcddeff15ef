# SPDX-License-Identifier: Apache-2.0
# make static: the command with all libraries in it, libc and all of libcrypto too, stripped: for hosts that have nothing but a kernel.

# The linker's warnings are about what static programs can load at run time: docs/PERFORMANCE.md says what that means here.
$(CLI_STATIC): $(filter-out $(O)/tools/libcrypto.o,$(TOOL_OBJ)) $(LIB_A)
	$(call say,LINK,$@)
	$(Q)$(CC) -static-pie $(CFLAGS_ALL) $(LDFLAGS_ALL) -Wl,--gc-sections,-z,pack-relative-relocs -s -o $@ $^ $(LIBS_CLI) 2>$@.log || { cat $@.log; exit 1; }

.PHONY: static
static: $(CLI_STATIC) ## build the command with all libraries in it
