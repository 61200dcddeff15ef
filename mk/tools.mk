# SPDX-License-Identifier: Apache-2.0
# The CLI's tests that need image files and no kernel of their own: on the host, where they are quick.

HOST_TESTS_EXTRA += $(wildcard tests/cli/*.sh) $(wildcard tests/cli/test_*.py)
