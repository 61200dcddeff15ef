# SPDX-License-Identifier: Apache-2.0
# The kernel lab: its helpers are built into the user's cache by the scripts themselves, when first used.

HOST_TESTS_EXTRA += tests/lab/selftest.sh tests/lab/selftest_qemu.sh tests/lab/test_run.sh

.PHONY: lab-tools
lab-tools:
	@tests/lab/setup.sh check
