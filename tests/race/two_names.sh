#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# Two writers of one header at once, each by a name of its own, ours and cryptsetup's: image file, hard link, bind mount, loop devices,
# disk and partition (tests/loopdev/two_names.sh has mappings). A sample of the pairs by a fixed seed; FULL=1: all.
. "$(dirname "$0")/../lab/lib.sh"
need "$CRYPTSETUP" python3

count=40 kinds=(image image-link)
if [ "$(id -u)" = 0 ] && [ -e /dev/loop-control ] && command -v losetup addpart >/dev/null; then
	kinds+=(image-bind image-loop image-loop-direct loop-loop disk-partition)
fi
if [ -n "${FULL-}" ] && [ "$FULL" != 0 ]; then count=0; fi
mkdir "$SCRATCH/two"
if python3 "$ROOT/tests/race/two_names.py" "$SCRATCH/two" "${SEED:-8}" "$count" "${kinds[@]}"; then
	ok "two writers by two names"
else
	fail "two writers by two names"
fi
