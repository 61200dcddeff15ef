# SPDX-License-Identifier: Apache-2.0
# Fuzz targets: tests/fuzz/fuzz_X.c with libFuzzer (clang), or with a main() that replays files. And the table of broken headers
# beside cryptsetup.

FUZZ_ROOMS := base crypto luks backup
FUZZ_TARGETS := $(filter-out $(if $(shell command -v protoc-c),,csi),$(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_DIR := $(O)/fuzz
FUZZ_REPLAY := $(FUZZ_TARGETS:%=$(O)/fuzz-replay/fuzz_%)
FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_LIBS := -ljson-c $(LIBS_ARGON2) -lcrypto
FUZZ_OBJ := $(patsubst %.c,$(FUZZ_DIR)/%.o,$(foreach r,$(FUZZ_ROOMS),$(call room_src,$(r))) tests/fuzz/fuzz.c)
# One input: at most 5 s, 1 GiB in all, 256 MiB in one piece; the harness holds tighter limits on top.
# ASan keeps freed memory for 256 MiB by default, which would hide growth.
FUZZ_LIMITS := -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1

$(FUZZ_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZCC,$<)
	$(Q)$(FUZZ_CC) $(CPPFLAGS_ALL) $(CPPFLAGS_EXTRA) -Isrc -std=gnu17 -O1 -g -pthread $(WARN) $(FUZZ_SAN) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(FUZZ_DIR)/fuzz_%: $(FUZZ_DIR)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) -pthread $(FUZZ_SAN) -fsanitize=fuzzer -o $@ $^ $(FUZZ_LIBS)

# The driver's target: its sources but those of the server round them; below them are fakes, some of which the linker puts before the
# rooms' own. What no fake exists for, since no request reaches it, is a trap.
FUZZ_CSI_SRC := $(filter-out %/main.c %/server.c %/socket.c %/wipe.c %/arena.c src/csi/metrics%,$(wildcard src/csi/*.c)) \
	tests/fuzz/csi_fakes.c tests/fuzz/csi_arena.c
FUZZ_CSI_ROOMS := base crypto luks dm keyring block fs
FUZZ_CSI_FAKED := dm_control_open fs_type_of fs_make fs_uuid_of fs_check fs_mount_on fs_unmount fs_grow fs_freeze fs_thaw fs_query_usage \
	fs_query_mount fs_wipe_signatures
FUZZ_CSI_LINK := $(FUZZ_CSI_FAKED:%=-Wl,--wrap=%) $(CSI_PROTO_C:.c=.o) -lprotobuf-c -lkeyutils -lblkid -ldl
FUZZ_CSI_OBJ := $(patsubst %.c,$(FUZZ_DIR)/%.o,tests/fuzz/csi_mutate.c $(FUZZ_CSI_SRC) \
	$(foreach r,$(filter-out $(FUZZ_ROOMS),$(FUZZ_CSI_ROOMS)),$(wildcard src/$(r)/*.c)))
$(FUZZ_CSI_OBJ) $(FUZZ_DIR)/tests/fuzz/fuzz_csi.o: CPPFLAGS_EXTRA += -I$(CSI_GEN)
$(FUZZ_CSI_OBJ) $(FUZZ_DIR)/tests/fuzz/fuzz_csi.o: | $(CSI_GEN)/csi.pb-c.c
$(FUZZ_DIR)/fuzz_csi: $(FUZZ_CSI_OBJ) $(FUZZ_DIR)/csi_traps.o | $(CSI_PROTO_C:.c=.o)
$(FUZZ_DIR)/fuzz_csi: FUZZ_LIBS += $(FUZZ_CSI_LINK)

FUZZ_CSI_REPLAY_OBJ := $(FUZZ_CSI_SRC:%.c=$(O)/%.o)
fuzz_traps = nm -u $^ | sed -n 's/^ *U \(\(backend\|volume\)_.*\)/\1/p' | sort -u >$@.u && nm --defined-only $^ | sed -n 's/.* T //p' | sort -u | \
	comm -23 $@.u - | sed 's/.*/void &(void); void &(void) { __builtin_trap(); }/' | $(CC) -x c -fPIC -c -o $@ -
$(FUZZ_DIR)/csi_traps.o: $(FUZZ_CSI_OBJ)
	$(Q)$(fuzz_traps)
$(O)/fuzz-replay/csi_traps.o: $(FUZZ_CSI_REPLAY_OBJ)
	@mkdir -p $(@D)
	$(Q)$(fuzz_traps)
$(O)/tests/fuzz/csi_fakes.o $(O)/tests/fuzz/csi_arena.o: CPPFLAGS_EXTRA += -I$(CSI_GEN) -Isrc
$(O)/tests/fuzz/csi_fakes.o $(O)/tests/fuzz/csi_arena.o: | $(CSI_GEN)/csi.pb-c.c
$(O)/fuzz-replay/fuzz_csi: $(FUZZ_CSI_REPLAY_OBJ) $(O)/fuzz-replay/csi_traps.o $(FUZZ_CSI_ROOMS:%=$(O)/room_%.a) | $(CSI_PROTO_C:.c=.o)
$(O)/fuzz-replay/fuzz_csi: CPPFLAGS_EXTRA += -I$(CSI_GEN)
$(O)/fuzz-replay/fuzz_csi: LIBS += $(FUZZ_CSI_LINK)

$(O)/fuzz-replay/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.c tests/fuzz/replay.c tests/fuzz/fuzz.h $(FUZZ_ROOMS:%=$(O)/room_%.a)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_EXTRA) -Isrc $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.c %.o,$^) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

fuzz: $(FUZZ_TARGETS:%=$(FUZZ_DIR)/fuzz_%) ## build the fuzz targets (clang, libFuzzer, ASan+UBSan)

fuzz-run: fuzz ## run each fuzz target for FUZZ_SECONDS; findings and the grown corpus stay in O/fuzz
	@set -e; for t in $(FUZZ_TARGETS); do \
		mkdir -p $(FUZZ_DIR)/corpus/$$t; \
		ASAN_OPTIONS=quarantine_size_mb=64 $(FUZZ_DIR)/fuzz_$$t $(FUZZ_LIMITS) -max_total_time=$(FUZZ_SECONDS) -max_len=16384 \
			$$([ ! -f tests/fuzz/$$t.dict ] || echo -dict=tests/fuzz/$$t.dict) \
			-artifact_prefix=$(FUZZ_DIR)/$$t- $(FUZZ_DIR)/corpus/$$t tests/fuzz/corpus/$$t >$(FUZZ_DIR)/$$t.log 2>&1 || \
			{ tail -60 $(FUZZ_DIR)/$$t.log; echo "FAIL fuzz $$t: see $(FUZZ_DIR)/$$t.log"; exit 1; }; \
		echo "ok fuzz $$t: $$(sed -n 's/^stat::number_of_executed_units: *//p' $(FUZZ_DIR)/$$t.log) executions"; done

check-fuzz: $(FUZZ_REPLAY) ## replay the fuzz corpus; each accept-* seed must reach its target's end
	@fail=0; for t in $(FUZZ_TARGETS); do $(O)/fuzz-replay/fuzz_$$t tests/fuzz/corpus/$$t || fail=1; done; exit $$fail

check-broken: $(O)/unit/test_luks_broken ## show the table of broken headers to cryptsetup too
	@tests/images/broken/compare.py $<
.PHONY: fuzz fuzz-run check-fuzz check-broken
.SECONDARY: $(FUZZ_OBJ) $(FUZZ_CSI_OBJ) $(FUZZ_TARGETS:%=$(FUZZ_DIR)/tests/fuzz/fuzz_%.o)

-include $(FUZZ_OBJ:.o=.d) $(FUZZ_CSI_OBJ:.o=.d) $(FUZZ_TARGETS:%=$(FUZZ_DIR)/tests/fuzz/fuzz_%.d)
