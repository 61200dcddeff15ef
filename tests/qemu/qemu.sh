#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1200
# A few end-to-end cases on Debian's 6.12 kernel, in one QEMU guest: cases.sh says which.
. "$(dirname "$0")/../lab/lib.sh"

"$LAB/qemu-image.sh" >/dev/null 2>"$SCRATCH/output" || skip_all "$(tail -n 1 "$SCRATCH/output")"
PROBE=$BUILD/loopdev/dm_probe ATTACK=$BUILD/loopdev/keyattack
for program in "$CRYPTVOL" "$PROBE" "$ATTACK"; do
	[ -x "$program" ] || { fail "the programs" "there is no $program" && exit 1; }
done
"$LAB/qemu-run" -t 1140 -M "loop dm-crypt algif_skcipher" -i "$ROOT/tests/lab" -i "$ROOT/tests/demo" \
	-i "$ROOT/tests/qemu" -i "$ROOT/tests/loopdev/dm_verbs.sh" -i "$ROOT/tests/loopdev/dm_keyring.sh" \
	-i "$ROOT/tests/loopdev/kept_keys.sh" -i "$ROOT/tests/loopdev/keeper.bash" -i "$PROBE" -i "$ATTACK" -- "$ROOT/tests/qemu/cases.sh" 2>&1 | tee "$SCRATCH/log"
status=${PIPESTATUS[0]}
# The lines above are counted by the runner; here is only whether the guest itself came to its end.
check_equal "the guest ends in order" 0 "$status"
