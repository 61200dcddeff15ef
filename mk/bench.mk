# SPDX-License-Identifier: Apache-2.0
# make bench: ratios to the installed cryptsetup, interleaved in one run. WRITE=1 puts the table into docs/PERFORMANCE.md.

# Static: the same program runs in the guest.
$(O)/bench/ratio: tests/bench/ratio.c $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 $(WARN) -static -o $@ $<

bench: $(CLI) $(O)/bench/ratio ## ratios to the installed cryptsetup; WRITE=1 writes docs/PERFORMANCE.md's table, ONLY='G3 G4' picks
	tests/bench/bench.py --ratio $(O)/bench/ratio --ours $(CLI) $(if $(WRITE),--write docs/PERFORMANCE.md) $(ONLY)
.PHONY: bench
