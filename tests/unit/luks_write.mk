# SPDX-License-Identifier: Apache-2.0
# Writes and flushes are counted, and one of them may fail.
UNIT_WRAP_test_luks_format := -Wl,--wrap=pwrite64,--wrap=fsync
UNIT_WRAP_test_luks_edit := -Wl,--wrap=pwrite64,--wrap=fsync
UNIT_WRAP_test_luks_gaps := -Wl,--wrap=pwrite64,--wrap=fsync
