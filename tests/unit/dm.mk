# SPDX-License-Identifier: Apache-2.0
# The driver behind ioctl(2), and modprobe, are the test's own.
UNIT_WRAP_test_dm_verbs := -Wl,--wrap=ioctl -Wl,--wrap=base_spawn
UNIT_WRAP_test_dm_failures := -Wl,--wrap=ioctl -Wl,--wrap=base_spawn
UNIT_WRAP_test_dm_control := -Wl,--wrap=ioctl -Wl,--wrap=base_spawn
UNIT_WRAP_test_dm_udev := -Wl,--wrap=ioctl
UNIT_WRAP_test_keyring_keys := -Wl,--wrap=syscall
