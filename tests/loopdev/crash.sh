#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# The command on a device that logs every write (dm-log-writes): all states that a power cut can leave of each
# verb, judged by tests/crash/crashcheck. The logs' own flushes are the kernel's, not the recorder's of tests/crash.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need dmsetup losetup python3 cryptsetup blockdev
need_target log-writes
CHECK=$BUILD/crash/crashcheck
[ -x "$CHECK" ] || skip_all "there is no $CHECK"
export DM_DISABLE_UDEV=1 TMPDIR=$SCRATCH

SIZE=$((1 << 20))
SAMPLES=1500
[ -z "${FULL:-}" ] || SAMPLES=10000
NAME=cvcrash$$
DEV=/dev/mapper/$NAME
PLACES=(-s 256 --luks2-keyslots-size 393216 --offset 832)
total_enumerated=0 total_sampled=0

# A device that reads as zeros, and an empty log.
new_device() {
	dmsetup remove --retry "$NAME" 2>/dev/null
	[ -z "${loop:-}" ] || losetup -d "$loop" "$log"
	rm -f "$SCRATCH"/data* "$SCRATCH"/log*
	loop=$(loop_of "$(make_image $SIZE data)") && log=$(loop_of "$(make_image 96M log)") &&
		dmsetup create "$NAME" --table "0 $((SIZE / 512)) log-writes $loop $log"
}

mark() {
	sync "$DEV"
	blockdev --flushbufs "$DEV"
	dmsetup message "$NAME" 0 mark "$1"
}

# Made by cryptsetup: keyslot 0 has the first passphrase, the next ones the others.
stock_volume() {
	local first=$1 other
	shift
	pass "$first" "$CRYPTSETUP" -q luksFormat --type luks2 "${FAST_KDF[@]}" "${PLACES[@]}" "$DEV" -d - || return
	for other; do
		printf %s "$other" >"$SCRATCH/other"
		pass "$first" "$CRYPTSETUP" luksAddKey "${FAST_KDF[@]}" -d - "$DEV" "$SCRATCH/other" || return
	done
} >"$SCRATCH/stock" 2>&1

# judged NAME CONTRACT COMMAND...: the command's writes lie between two marks
judged() {
	local name=$1 contract=$2 out status
	shift 2
	mark start
	if ! "$@" >"$SCRATCH/output" 2>&1; then
		fail "$name" "$(tail -n 1 "$SCRATCH/output")"
		return
	fi
	mark end
	dmsetup remove --retry "$NAME"
	out=$(python3 "$ROOT/tests/lab/logreplay.py" states "$log" --size $SIZE --start start --end end --samples $SAMPLES \
		2>"$SCRATCH/replay" | "$CHECK" -o 2 "$contract" 2>"$SCRATCH/why")
	status=$?
	echo "# $name: $out"
	if [ $status = 0 ]; then ok "$name"; else fail "$name" "$(head -c 300 "$SCRATCH/why" | tr '\n' ';')"; fi
	read -r enumerated _ _ sampled _ <<<"$out"
	total_enumerated=$((total_enumerated + enumerated)) total_sampled=$((total_sampled + sampled))
}

printf new >"$SCRATCH/new"
printf revoked >"$SCRATCH/revoked"

new_device
judged "luksFormat on a blank device" format-blank \
	pass new "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "${PLACES[@]}" "$DEV" -d -

new_device && stock_volume old
judged "luksFormat over an old header" format \
	pass new "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "${PLACES[@]}" "$DEV" -d -

new_device && stock_volume keep old
judged "luksAddKey" add pass old "$CRYPTVOL" -q luksAddKey "${FAST_KDF[@]}" -d - "$DEV" "$SCRATCH/new"

new_device && stock_volume keep old
judged "luksChangeKey" change pass old "$CRYPTVOL" -q luksChangeKey "${FAST_KDF[@]}" -d - "$DEV" "$SCRATCH/new"

new_device && stock_volume keep revoked
judged "luksKillSlot" kill pass keep "$CRYPTVOL" -q luksKillSlot -d - "$DEV" 1

new_device && stock_volume keep revoked
judged "luksRemoveKey" kill "$CRYPTVOL" -q luksRemoveKey "$DEV" "$SCRATCH/revoked"

new_device && stock_volume keep old
judged "config --label" same "$CRYPTVOL" config --label mine --subsystem sub "$DEV"

new_device && stock_volume keep old
judged "config --priority" same "$CRYPTVOL" config -S 1 --priority prefer "$DEV"

new_device && stock_volume keep old
judged "erase" erase "$CRYPTVOL" -q erase "$DEV"

# That the judge is awake: cryptsetup's own format recognises a header before a keyslot is there.
new_device
mark start
stock_volume new
mark end
dmsetup remove --retry "$NAME"
python3 "$ROOT/tests/lab/logreplay.py" states "$log" --size $SIZE --start start --end end --samples 200 2>/dev/null |
	"$CHECK" format-blank >"$SCRATCH/output" 2>&1
check_equal "a header without a keyslot is seen as bad" 1 $?

echo "# $total_enumerated enumerated and $total_sampled sampled states of dm-log-writes"
losetup -d "$loop" "$log"
nothing_left_behind "at the end"
