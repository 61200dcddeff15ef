# SPDX-License-Identifier: Apache-2.0
# make install / uninstall, with DESTDIR and PREFIX. Both go by one list, so that nothing is left behind.

PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
INSTALL ?= install

INSTALLED_HEADERS := $(notdir $(HEADERS))
MAN_PAGES := $(wildcard man/*.[1-9])
INSTALLED := $(BINDIR)/cryptvol $(LIBDIR)/libcryptvol.a $(LIBDIR)/$(notdir $(LIB_SO)) \
	$(LIBDIR)/libcryptvol.so.$(SOVERSION) $(LIBDIR)/libcryptvol.so $(PKGCONFIGDIR)/libcryptvol.pc \
	$(INSTALLED_HEADERS:%=$(INCLUDEDIR)/cryptvol/%) $(COMPDIR)/cryptvol \
	$(foreach p,$(notdir $(MAN_PAGES)),$(MANDIR)/man$(patsubst .%,%,$(suffix $(p)))/$(p))

.PHONY: install uninstall
install: all ## install the CLI, the library, its headers and the man pages
	$(INSTALL) -d $(sort $(dir $(addprefix $(DESTDIR),$(INSTALLED))))
	$(INSTALL) -m 755 $(CLI) $(DESTDIR)$(BINDIR)/cryptvol
	$(INSTALL) -m 644 $(LIB_A) $(DESTDIR)$(LIBDIR)/libcryptvol.a
	$(INSTALL) -m 755 $(LIB_SO) $(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO))
	ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(LIBDIR)/libcryptvol.so.$(SOVERSION)
	ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(LIBDIR)/libcryptvol.so
	$(INSTALL) -m 644 $(O)/libcryptvol.pc $(DESTDIR)$(PKGCONFIGDIR)/libcryptvol.pc
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/cryptvol
	$(INSTALL) -m 644 tools/completion/cryptvol $(DESTDIR)$(COMPDIR)/cryptvol
	$(foreach p,$(MAN_PAGES),$(INSTALL) -m 644 $(p) $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(p)))/ &&) true

uninstall: ## remove what install made
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(DESTDIR)$(INCLUDEDIR)/cryptvol 2>/dev/null

# The .pc file names the folders: another PREFIX makes it anew.
PREFIX_TEXT := $(PREFIX) $(LIBDIR) $(INCLUDEDIR)
$(O)/prefix.stamp: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(PREFIX_TEXT)' | cmp -s - $@ || printf '%s\n' '$(PREFIX_TEXT)' >$@
$(O)/libcryptvol.pc: $(O)/prefix.stamp
