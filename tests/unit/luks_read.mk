# SPDX-License-Identifier: Apache-2.0
# Tests that watch the disk (luks_disk.h).
LUKS_DISK_WRAP := -Wl,--wrap=pread64,--wrap=pwrite64,--wrap=fsync
UNIT_WRAP_test_luks_recovery := $(LUKS_DISK_WRAP)
UNIT_WRAP_test_luks_write := $(LUKS_DISK_WRAP)
