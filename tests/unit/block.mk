# SPDX-License-Identifier: Apache-2.0
# The block room's system calls are answered by the test.
UNIT_WRAP_test_block_loop := $(foreach f,open open64 __open_2 __open64_2 ioctl close pread64,-Wl,--wrap=$(f))
