# SPDX-License-Identifier: Apache-2.0
# Broken headers beside cryptsetup.

check-broken: $(O)/unit/test_luks_broken ## show the table of broken headers to cryptsetup too
	@tests/images/broken/compare.py $<
.PHONY: check-broken
