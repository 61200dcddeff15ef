#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# Two writers of one header at once, by the names that need a device-mapper: a mapping and the device below it, a mapping and the
# image file two steps below, two mappings over one device. tests/race/two_names.py says what is right.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need "$CRYPTSETUP" python3 dmsetup losetup
need_target linear

count=18
if [ -n "${FULL-}" ] && [ "$FULL" != 0 ]; then count=0; fi
mkdir "$SCRATCH/two"
if python3 "$ROOT/tests/race/two_names.py" "$SCRATCH/two" "${SEED:-8}" "$count" linear-leg linear-image linear-linear; then
	ok "two writers by two names"
else
	fail "two writers by two names"
fi
nothing_left_behind "after all"
