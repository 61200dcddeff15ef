# SPDX-License-Identifier: Apache-2.0
# cryptvol-csi: the driver. Only here are gRPC, protobuf and SQLite linked.

CSI := $(O)/cryptvol-csi
CSI_GEN := $(O)/csi-gen
CSI_SRC := $(wildcard src/csi/*.c) $(wildcard src/backend/*.c)
CSI_PROTO_C := $(CSI_GEN)/csi.pb-c.c $(CSI_GEN)/google/protobuf/timestamp.pb-c.c $(CSI_GEN)/google/protobuf/wrappers.pb-c.c
CSI_OBJ := $(CSI_SRC:%.c=$(O)/%.o) $(CSI_PROTO_C:.c=.o)
PROTO_INCLUDE ?= /usr/include
LIBS_CSI := -lgrpc_unsecure -lgpr -lprotobuf-c -lsqlite3

$(CSI_GEN)/csi.pb-c.c: src/csi/proto/csi.proto
	@mkdir -p $(CSI_GEN)/google/protobuf
	$(call say,PROTO,$<)
	@# The option that marks secrets is for people, tests and Go; the C compiler of messages has no use for it.
	$(Q)sed -e '/descriptor.proto/d' -e '/^extend /,/^}/d' -e 's/ \[(csi_secret) = true\]//' $< >$(CSI_GEN)/csi.proto
	$(Q)protoc-c --c_out=$(CSI_GEN) -I$(CSI_GEN) -I$(PROTO_INCLUDE) $(CSI_GEN)/csi.proto
	$(Q)protoc-c --c_out=$(CSI_GEN) -I$(PROTO_INCLUDE) $(PROTO_INCLUDE)/google/protobuf/timestamp.proto \
		$(PROTO_INCLUDE)/google/protobuf/wrappers.proto
$(CSI_GEN)/google/protobuf/timestamp.pb-c.c $(CSI_GEN)/google/protobuf/wrappers.pb-c.c: $(CSI_GEN)/csi.pb-c.c
	@touch $@

# Generated code has warnings of its own.
$(CSI_GEN)/%.o: $(CSI_GEN)/%.c $(CSI_GEN)/csi.pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 $(OPT) -g -fPIC -pthread $(HARDEN) $(SANFLAGS) -I$(CSI_GEN) -c -o $@ $<

$(CSI_SRC:%.c=$(O)/%.o): CPPFLAGS_EXTRA += -I$(CSI_GEN)
$(CSI_SRC:%.c=$(O)/%.o): | $(CSI_GEN)/csi.pb-c.c

$(CSI): $(CSI_OBJ) $(LIB_A)
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(CSI_OBJ) $(LIB_A) $(LIBS) $(LIBS_CSI)

.PHONY: csi
csi: $(CSI) ## build the CSI driver (needs libgrpc-dev, libprotobuf-c-dev, libsqlite3-dev)
export CRYPTVOL_CSI := $(abspath $(CSI))
-include $(CSI_SRC:%.c=$(O)/%.d)

# ---- unit tests of the driver: tests/unit/test_csi_*.c, without gRPC ----
ifneq ($(and $(shell command -v protoc-c),$(filter volume,$(ROOMS))),)
CSI_UNIT_SRC := $(wildcard tests/unit/test_csi_*.c)
CSI_UNIT_BIN := $(CSI_UNIT_SRC:tests/unit/%.c=$(O)/unit/%)
UNIT_BIN += $(CSI_UNIT_BIN)
unit check-unit: $(CSI_UNIT_BIN)
endif

CSI_UNIT_OBJ := $(filter-out %/main.o %/server.o %/wipe.o,$(CSI_OBJ))
$(O)/unit/test_csi_%: tests/unit/test_csi_%.c $(CSI_UNIT_OBJ) $(LIB_A) $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -I$(CSI_GEN) -Itests/unit -Isrc $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
		$(CSI_UNIT_OBJ) $(LIB_A) $(LIBS) -lprotobuf-c -lsqlite3
-include $(CSI_UNIT_BIN:=.d)
