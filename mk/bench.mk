# SPDX-License-Identifier: Apache-2.0
# make bench: ratios to the installed cryptsetup, and the CSI driver beside the pipeline of programs that others run, interleaved in one
# run. WRITE=1 puts the tables into docs/PERFORMANCE.md, ONLY='G3 CSI' picks: the other
# goals keep their rows.

# Static: the same programs run in the guest.
$(O)/bench/ratio $(O)/bench/bare: $(O)/bench/%: tests/bench/%.c $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 $(WARN) -static -o $@ $<

# Our cores, beside libraries of the system.
$(O)/bench/argon2: tests/bench/argon2.c $(O)/room_crypto.a $(O)/room_base.a $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Isrc $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(O)/room_crypto.a $(O)/room_base.a \
		-Wl,--end-group $(LIBS) -largon2 -lgcrypt -lsodium

.PHONY: bench-run
bench-run: $(CLI) $(CLI_STATIC) $(LIB_SO) $(CSI) $(O)/bench/ratio $(O)/bench/bare $(O)/bench/argon2
	tests/bench/bench.py --ratio $(O)/bench/ratio --argon2 $(O)/bench/argon2 --bare $(O)/bench/bare --ours $(CLI) --static $(CLI_STATIC) --library $(LIB_SO) $(if $(WRITE),--write docs/PERFORMANCE.md) $(ONLY)

.PHONY: instructions
instructions: $(CLI) ## count the small commands' instructions anew: tests/cli/instructions.tsv
	tests/cli/test_instructions.py --write
