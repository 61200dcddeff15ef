#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The library's mappings, from another language: tests/library/binding.py on a kernel with dm-crypt.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup python3
need_target crypt

check "the binding's own checks" /usr/bin/python3 "$ROOT/tests/library/binding.py" kernel
grep -E '^(ok|FAIL)' "$SCRATCH/output" | tail -n 9
nothing_left_behind "at the end"
