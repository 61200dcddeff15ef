# SPDX-License-Identifier: Apache-2.0
# mount(2) is the test's own.
UNIT_WRAP_test_fs_mount := -Wl,--wrap=mount -Wl,--wrap=umount2
