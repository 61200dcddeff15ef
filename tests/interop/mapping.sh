#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A sample of the edited headers of tests/conformance/mapping.py, opened on the kernel by both
# commands: the same tables, or ours refuses. FULL=1: a larger one.
here=$(dirname "$(readlink -f "$0")")
. "$here/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup
need_target crypt
[ -e "$(ldconfig -p | sed -n 's/.*libcryptsetup\.so\.12 .*=> //p' | head -1)" ] || skip_all "there is no libcryptsetup here"
"$here/../conformance/mapping.py" --count 400 --kernel "$([ -n "${FULL-}" ] && echo 60 || echo 12)" "$BUILD/unit/test_luks_broken" \
	"$SCRATCH/mapping" >"$SCRATCH/table" 2>&1
check_equal "edited headers on the kernel: the same tables, or refused" 0 $?
grep -v '^ok' "$SCRATCH/table"
