# SPDX-License-Identifier: Apache-2.0
# The CLI's tests that need image files and no kernel of their own: on the host, where they are quick.

HOST_TESTS_EXTRA += $(wildcard tests/cli/*.sh) $(wildcard tests/cli/test_*.py)

# A unit test named test_tools_<file> links tools/<file>.c and base.
TOOL_UNIT_SRC := $(wildcard tests/unit/test_tools_*.c)
TOOL_UNIT_BIN := $(TOOL_UNIT_SRC:tests/unit/%.c=$(O)/unit/%)
UNIT_BIN += $(TOOL_UNIT_BIN)
unit check-unit: $(TOOL_UNIT_BIN)

$(TOOL_UNIT_BIN): $(O)/unit/test_tools_%: tests/unit/test_tools_%.c tests/unit/check.h $(O)/tools/%.o $(O)/room_base.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/unit $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(O)/tools/$*.o $(O)/room_base.a
