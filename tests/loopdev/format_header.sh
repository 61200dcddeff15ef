#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A file with a header, of luksFormat --header or luksHeaderBackup, is there whole or not at all: SIGTERM comes while the key is derived,
# and at each call by which the header is written. cryptsetup is asked whether a file that is there opens.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need strace cryptsetup mount

mkdir "$SCRATCH/dir"
HEADER=$SCRATCH/dir/header
DATA=$(make_image 8M)
printf secret >"$SCRATCH/key"

opens() {
	"$CRYPTSETUP" open --test-passphrase --header "$HEADER" --key-file "$SCRATCH/key" "$DATA"
}

format() {
	"$@" "$CRYPTVOL" -q luksFormat --header "$HEADER" --key-file "$SCRATCH/key" "${KDF[@]}" "$DATA"
}

backup() {
	"$@" "$CRYPTVOL" -q luksHeaderBackup --header-backup-file "$HEADER" "$SCRATCH/backed"
}

KDF=(--pbkdf pbkdf2 --pbkdf-force-iterations 900000000)
format exec &
pid=$!
until [ "$(awk '{print $14}' /proc/$pid/stat 2>/dev/null || echo 99)" -ge 20 ]; do sleep 0.1; done
kill -TERM $pid
wait $pid
check_equal "luksFormat, killed while the key is derived: status" 143 $?
check_equal "luksFormat, killed while the key is derived: the folder holds" "" "$(ls -A "$SCRATCH/dir")"

# killed VERB CALLS...: SIGTERM at the first, second, ... of these calls, until one time it comes through
killed() {
	local verb=$1 call=$2 n status ended=0 bad=
	for n in {1..200}; do
		rm -f "$HEADER"
		"$verb" strace -f -o "$SCRATCH/trace" -e "inject=$call:signal=TERM:when=$n" >"$SCRATCH/said" 2>&1
		status=$?
		grep -q "SIGTERM" "$SCRATCH/trace" || break
		ended=$n
		[ "$status" = 143 ] || bad+=" $n:status-$status"
		[ ! -e "$HEADER" ] && [ -z "$(ls -A "$SCRATCH/dir")" ] || opens >/dev/null 2>&1 || bad+=" $n:half"
	done
	[ "$n" -lt 200 ] || bad+=" never-through"
	[ "$ended" -gt 0 ] || bad+=" never-killed"
	check_equal "$verb, killed at each $call ($ended times): none has left a part" "" "$bad"
	check_equal "$verb, then left alone: status" 0 "$status"
	check "$verb, then left alone: it opens" opens
}

KDF=("${FAST_KDF[@]}")
format env && cp --sparse=always "$HEADER" "$SCRATCH/backed" || fail "a header to be backed up"
for call in pwrite64 fsync linkat,renameat2; do killed format $call; done
"$CRYPTSETUP" -q luksFormat --type luks2 --header "$SCRATCH/theirs" --key-file "$SCRATCH/key" "${KDF[@]}" "$DATA"
check_equal "luksFormat: as large as cryptsetup's" "$(stat -c %s "$SCRATCH/theirs")" "$(stat -c %s "$HEADER")"
for call in pwrite64 fsync linkat,renameat2; do killed backup $call; done
rm -f "$SCRATCH/theirs"
"$CRYPTSETUP" -q luksHeaderBackup --header-backup-file "$SCRATCH/theirs" "$SCRATCH/backed"
check_equal "luksHeaderBackup: mode and size are cryptsetup's" "$(stat -c '%a %s' "$SCRATCH/theirs")" "$(stat -c '%a %s' "$HEADER")"

# A file system that can't make a file without a name: 24 MiB of FAT, since mkfs.vfat isn't everywhere.
rm "$HEADER"
truncate -s 24M "$SCRATCH/vfat"
printf '\xeb\x3c\x90MSDOS5.0\x00\x02\x04\x01\x00\x01\x00\x02\x00\xc0\xf8\x31\x00\x20\x00\x40\x00' >"$SCRATCH/boot"
dd if="$SCRATCH/boot" of="$SCRATCH/vfat" conv=notrunc status=none
printf '\x55\xaa\xf8\xff\xff\xff' | dd of="$SCRATCH/vfat" bs=1 seek=510 conv=notrunc status=none
if ! mount -t vfat -o loop "$SCRATCH/vfat" "$SCRATCH/dir" 2>"$SCRATCH/said"; then
	skip "vfat" "$(<"$SCRATCH/said")"
	exit
fi
check "vfat: luksFormat" format env
check "vfat: it opens" opens
check_status "vfat: it is there already for luksHeaderBackup" 1 backup env
rm "$HEADER"
check "vfat: luksHeaderBackup" backup env
check "vfat: it opens" opens
umount "$SCRATCH/dir"
nothing_left_behind "at the end"
