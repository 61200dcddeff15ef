# SPDX-License-Identifier: Apache-2.0
# cryptvol: one non-recursive Makefile, no configure step. `make help` lists the targets.

VERSION := 0.1.0
SOVERSION := 0

O ?= obj
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
DESTDIR ?=

CC ?= cc
AR ?= ar
PKG_CONFIG ?= pkg-config
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' "$(1)" "$(2)")

# ---- rooms: who may include whom is checked by tests/lint/layers.py ----
ROOMS ?= base crypto luks dm keyring block fs volume backup api
ROOM_base := base
ROOM_crypto := base crypto
ROOM_luks := base crypto luks
ROOM_dm := base crypto dm
ROOM_keyring := base keyring
ROOM_block := base block
ROOM_fs := base fs
ROOM_volume := base crypto luks dm keyring block fs volume
ROOM_backup := base crypto backup
ROOM_api := base crypto luks dm keyring block fs volume api

# argon2: our own core, or the reference library (for distributions that want one implementation only; it is several times slower).
ARGON2 ?= own
ARGON2_OWN := $(filter-out src/crypto/argon2_libargon2.c,$(wildcard src/crypto/argon2*.c)) src/crypto/blake2b.c
ifeq ($(ARGON2),own)
LEFT_OUT := src/crypto/argon2_libargon2.c
else ifeq ($(ARGON2),libargon2)
LEFT_OUT := $(ARGON2_OWN) $(wildcard tests/unit/test_crypto_argon2_*.c)
LIBS_ARGON2 := -largon2
else
$(error ARGON2 is 'own' or 'libargon2', not '$(ARGON2)')
endif
room_src = $(filter-out $(LEFT_OUT),$(wildcard src/$(1)/*.c))

# ---- flags ----
WARN := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wformat=2 -Wundef -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fno-strict-overflow
ifeq ($(SAN),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
OPT ?= -O2
else
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
OPT ?= -O1
endif
CPPFLAGS_ALL := -Iinclude -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCRYPTVOL_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL := -std=gnu17 $(OPT) -g -pthread -fPIC -fvisibility=hidden $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
LDFLAGS_ALL := -pthread -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)
LIBS := -ljson-c $(LIBS_ARGON2) -lcrypto -lkeyutils -lblkid -ldl
# The CLI needs nothing on the target but libc: the libraries below are linked in (fewer system calls to start, nothing to install).
LIBS_CLI := -l:libjson-c.a $(LIBS_ARGON2:-l%=-l:lib%.a) -l:libcrypto.a -l:libkeyutils.a -l:libblkid.a -ldl
ifneq ($(SAN),)
LIBS_CLI := $(LIBS)
endif

STAMP_TEXT := $(ARGON2) $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)

# ---- sources ----
SRC := $(foreach r,$(ROOMS),$(call room_src,$(r)))
OBJ := $(SRC:%.c=$(O)/%.o)
TOOL_SRC := $(wildcard tools/*.c)
TOOL_OBJ := $(TOOL_SRC:%.c=$(O)/%.o)
UNIT_SRC := $(filter-out $(LEFT_OUT),$(foreach r,$(ROOMS),$(wildcard tests/unit/test_$(r)_*.c)))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(O)/unit/%)
# The library's promise is include/cryptvol.h; the faces in include/cryptvol/ are the rooms' own. LIB_A is what the programs and tests
# link, LIB_STATIC and LIB_SO are what is installed.
HEADERS := include/cryptvol.h
LIB_A := $(O)/rooms.a
LIB_STATIC := $(O)/libcryptvol.a
LIB_SO := $(O)/libcryptvol.so.$(VERSION)
CLI := $(O)/cryptvol
CLI_STATIC := $(O)/cryptvol-static

export CRYPTVOL := $(abspath $(CLI))
export BUILD := $(abspath $(O))

.PHONY: all help clean FORCE
all: $(LIB_STATIC) $(LIB_SO) $(O)/libcryptvol.pc $(CLI) ## build the library and the CLI

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | while IFS="$$(printf '\t')" read -r t d; do \
		printf '  %-14s %s\n' "$$t" "$$d"; done
	@echo "  variables: O=obj PREFIX=/usr/local DESTDIR= CC=cc SAN=address,undefined V=1 ROOMS='base ...' ARGON2=libargon2"

clean: ## remove the object folder
	rm -rf $(O)

# Changed flags rebuild everything.
$(O)/flags.stamp: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(STAMP_TEXT))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(STAMP_TEXT))' >$@

$(O)/%.o: %.c $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_EXTRA) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# -O2 leaves the rounds' order of instructions as it found it: 20 % slower.
ifeq ($(SAN),)
$(O)/src/crypto/sha512_x86.o: CFLAGS_ALL += -O3
endif

# ---- library: an archive a room (tests link only what their room may use), one for all, and the shared object ----
define room_rule
$(O)/room_$(1).a: $$(patsubst %.c,$(O)/%.o,$$(call room_src,$(1)))
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

$(LIB_A): $(OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# One object in which nothing but the promise is global: an application's own functions can't be taken for ours, nor ours for its own.
OBJCOPY ?= objcopy
$(LIB_STATIC): $(OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(CC) -r -nostdlib -o $(O)/libcryptvol.o $(OBJ)
	$(Q)$(OBJCOPY) --localize-hidden $(O)/libcryptvol.o
	$(Q)$(AR) rcs $@ $(O)/libcryptvol.o

$(LIB_SO): $(OBJ) src/libcryptvol.map
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libcryptvol.so.$(SOVERSION) -Wl,--version-script=src/libcryptvol.map $(if $(SAN),,-Wl,-z,defs) \
		$(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(OBJ) $(LIBS)
	@ln -sf $(@F) $(O)/libcryptvol.so.$(SOVERSION); ln -sf $(@F) $(O)/libcryptvol.so

$(O)/libcryptvol.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' 'Name: libcryptvol' \
		'Description: encrypted volumes (LUKS2) straight on the Linux kernel' 'Version: $(VERSION)' \
		'Requires.private: json-c libcrypto blkid$(LIBS_ARGON2:-l%= lib%)' 'Libs: -L$${libdir} -lcryptvol' 'Libs.private: -lkeyutils -ldl' \
		'Cflags: -I$${includedir}' >$@

$(CLI): $(TOOL_OBJ) $(LIB_A)
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(TOOL_OBJ) $(LIB_A) $(LIBS_CLI)

# ---- tests ----
# A unit test named test_<room>_<file> links its room and the rooms below it; tests/unit/<name>.mk may add to UNIT_WRAP_<name>.
-include $(wildcard tests/unit/*.mk)
define unit_rule
$(O)/unit/$(1): tests/unit/$(1).c tests/unit/check.h $$(foreach r,$$(ROOM_$(2)),$(O)/room_$$(r).a) $(O)/flags.stamp
	@mkdir -p $$(@D)
	$$(call say,TEST,$$@)
	$$(Q)$$(CC) $$(CPPFLAGS_ALL) -Itests/unit -Isrc $$(CFLAGS_ALL) -MMD -MP $$(LDFLAGS_ALL) $$(UNIT_WRAP_$(1)) -o $$@ $$< \
		-Wl,--start-group $$(foreach r,$$(ROOM_$(2)),$(O)/room_$$(r).a) -Wl,--end-group $$(LIBS)
endef
$(foreach s,$(UNIT_SRC),$(eval $(call unit_rule,$(basename $(notdir $(s))),$(word 2,$(subst _, ,$(basename $(notdir $(s))))))))

unit: $(UNIT_BIN) ## build the unit tests
check-unit: $(UNIT_BIN) ## run the unit tests
	@fail=0; for t in $(UNIT_BIN); do echo "== $$t"; $$t; r=$$?; [ $$r = 0 ] || [ $$r = 77 ] || fail=1; done; exit $$fail
.PHONY: unit check-unit

# ---- entry points that set up the machine: tests/lab/setup.sh says what it installs and why, and does nothing where nothing is missing.
# Then a second make, since this one looked for sources and libraries before that. ----
check: ## all tests (installs what building, tests, linters, QEMU and the driver need); guests where the host has no dm-crypt
	tests/lab/setup.sh build check lint qemu csi
	$(MAKE) check-all

check-full: ## the same at full length (installs the same, and what the benchmark needs)
	tests/lab/setup.sh build check lint qemu csi bench kubernetes
	$(MAKE) check-all FULL=1

demo: ## the main job on a real kernel, the driver's, then the command's (installs what building, the driver and a guest need)
	tests/lab/setup.sh build csi demo
	$(MAKE) demo-run

bench: ## ratios to cryptsetup (installs what building, guests and the driver need); WRITE=1: into docs/PERFORMANCE.md; ONLY='G3 CSI'
	tests/lab/setup.sh build csi qemu bench
	$(MAKE) bench-run

torture: ## the driver killed at every state-changing call, and 200 power cuts (installs what building, tests and the driver need)
	tests/lab/setup.sh build csi check
	$(MAKE) torture-run
.PHONY: check check-full demo bench torture

include $(filter-out mk/check.mk,$(wildcard mk/*.mk)) mk/check.mk # check.mk lists what the others define
-include $(OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(UNIT_BIN:=.d)
