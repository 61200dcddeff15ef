# SPDX-License-Identifier: Apache-2.0
# Tests that watch the disk (luks_disk.h).
LUKS_DISK_WRAP := -Wl,--wrap=pread64,--wrap=pwrite64,--wrap=fsync
# Idle processors are as many as the test says, and derivations wait for each other.
UNIT_WRAP_test_luks_keyslot := -Wl,--wrap=crypto_machine_free_cpus,--wrap=crypto_cpus,--wrap=crypto_kdf_derive_wish
UNIT_WRAP_test_luks_recovery := $(LUKS_DISK_WRAP)
UNIT_WRAP_test_luks_write := $(LUKS_DISK_WRAP)
