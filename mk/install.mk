# SPDX-License-Identifier: Apache-2.0
# make install / uninstall, with DESTDIR and PREFIX. Both go by one list, so that nothing is left behind. The CSI driver comes along
# where it is built (make csi); DRIVER=no leaves it out.

PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVRULESDIR ?= $(PREFIX)/lib/udev/rules.d
INSTALL ?= install
DRIVER ?= yes

INSTALLED_HEADERS := $(notdir $(HEADERS))
DRIVER_PAGES := man/cryptvol-csi.8
MAN_PAGES := $(filter-out $(DRIVER_PAGES),$(wildcard man/*.[1-9]))
INSTALLED := $(BINDIR)/cryptvol $(LIBDIR)/libcryptvol.a $(LIBDIR)/$(notdir $(LIB_SO)) \
	$(LIBDIR)/libcryptvol.so.$(SOVERSION) $(LIBDIR)/libcryptvol.so $(PKGCONFIGDIR)/libcryptvol.pc \
	$(INSTALLED_HEADERS:%=$(INCLUDEDIR)/%) $(COMPDIR)/cryptvol \
	$(foreach p,$(notdir $(MAN_PAGES)),$(MANDIR)/man$(patsubst .%,%,$(suffix $(p)))/$(p))

INSTALLED_DRIVER := $(BINDIR)/cryptvol-csi $(COMPDIR)/cryptvol-csi $(UNITDIR)/cryptvol-csi.service \
	$(UDEVRULESDIR)/60-cryptvol.rules $(foreach p,$(notdir $(DRIVER_PAGES)),$(MANDIR)/man8/$(p))

.PHONY: install install-driver uninstall
install: all ## install the CLI, the library, headers, man pages and, if built (make csi), the CSI driver; DRIVER=no: without
	$(INSTALL) -d $(sort $(dir $(addprefix $(DESTDIR),$(INSTALLED))))
	$(INSTALL) -m 755 $(CLI) $(DESTDIR)$(BINDIR)/cryptvol
	$(INSTALL) -m 644 $(LIB_STATIC) $(DESTDIR)$(LIBDIR)/libcryptvol.a
	$(INSTALL) -m 755 $(LIB_SO) $(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO))
	ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(LIBDIR)/libcryptvol.so.$(SOVERSION)
	ln -sf $(notdir $(LIB_SO)) $(DESTDIR)$(LIBDIR)/libcryptvol.so
	$(INSTALL) -m 644 $(O)/libcryptvol.pc $(DESTDIR)$(PKGCONFIGDIR)/libcryptvol.pc
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 tools/completion/cryptvol $(DESTDIR)$(COMPDIR)/cryptvol
	$(foreach p,$(MAN_PAGES),$(INSTALL) -m 644 $(p) $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(p)))/ &&) true
	$(if $(filter-out no,$(DRIVER)),if [ -x $(CSI) ]; then $(MAKE) --no-print-directory install-driver; fi)

install-driver:
	$(INSTALL) -d $(sort $(dir $(addprefix $(DESTDIR),$(INSTALLED_DRIVER))))
	$(INSTALL) -m 755 $(CSI) $(DESTDIR)$(BINDIR)/cryptvol-csi
	$(INSTALL) -m 644 tools/completion/cryptvol-csi $(DESTDIR)$(COMPDIR)/cryptvol-csi
	$(INSTALL) -m 644 packaging/systemd/cryptvol-csi.service $(DESTDIR)$(UNITDIR)/cryptvol-csi.service
	sed -i 's|^ExecStart=.*/|ExecStart=$(BINDIR)/|' $(DESTDIR)$(UNITDIR)/cryptvol-csi.service
	$(INSTALL) -m 644 packaging/udev/60-cryptvol.rules $(DESTDIR)$(UDEVRULESDIR)/60-cryptvol.rules
	$(INSTALL) -m 644 $(DRIVER_PAGES) $(DESTDIR)$(MANDIR)/man8

uninstall: ## remove what install made
	rm -f $(addprefix $(DESTDIR),$(INSTALLED) $(INSTALLED_DRIVER))

# The .pc file names the folders: another PREFIX makes it anew.
PREFIX_TEXT := $(PREFIX) $(LIBDIR) $(INCLUDEDIR)
$(O)/prefix.stamp: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(PREFIX_TEXT)' | cmp -s - $@ || printf '%s\n' '$(PREFIX_TEXT)' >$@
$(O)/libcryptvol.pc: $(O)/prefix.stamp
