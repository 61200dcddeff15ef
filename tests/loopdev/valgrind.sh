#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# The command under valgrind and under UBSan on a real kernel: no invalid access, nothing undefined, no leak.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need valgrind cryptsetup
need_target crypt

NAME=vg$$
VG=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "$CRYPTVOL")
UB=${BUILD}/ubsan/cryptvol

# The whole life of a volume by the command in "$@"; the exit status of each step is the result.
life() {
	local how=$1 image
	shift
	image=$(make_image 32M)
	check "$how: format" pass secret "$@" -q luksFormat "${FAST_KDF[@]}" "$image" -d -
	check "$how: add a key" bash -c 'printf new >"$1"; shift; printf secret | "$@"' _ "$SCRATCH/new" \
		"$@" luksAddKey "${FAST_KDF[@]}" -d - "$image" "$SCRATCH/new"
	check "$how: dump" "$@" luksDump "$image"
	check "$how: open, key kept" pass secret "$@" open --keep-key "$image" "$NAME" -d -
	check "$how: status" "$@" status "$NAME"
	truncate -s 40M "$image"
	check "$how: grow without the passphrase" "$@" resize "$NAME"
	check_equal "$how: it has grown" "$((24 * 2048))" "$(blockdev --getsz "/dev/mapper/$NAME")"
	check "$how: close" "$@" close "$NAME"
	check_status "$how: wrong passphrase" 2 pass wrong "$@" open "$image" "$NAME" -d -
	check "$how: kill a slot" "$@" -q luksKillSlot "$image" 1
	check "$how: erase" "$@" -q erase "$image"
}

life valgrind "${VG[@]}"
if [ -x "$UB" ]; then
	UBSAN_OPTIONS=halt_on_error=1:exitcode=98 life UBSan "$UB"
else
	fail "UBSan build" "$UB is missing"
fi
nothing_left_behind "at the end"
