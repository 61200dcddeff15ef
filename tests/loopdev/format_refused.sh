#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A luksFormat that is refused has changed nothing: the device holds the file system that it held, byte for
# byte. A table of bad options, each with the exit status and the sentence; cryptsetup's status is the judge of
# ours, where no other is given.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup mkfs.ext4 mount
need_target crypt

SIZE=24M
printf secret >"$SCRATCH/key"
: >"$SCRATCH/empty"
head -c 63 /dev/zero >"$SCRATCH/key63"
truncate -s $SIZE "$SCRATCH/theirs"
truncate -s $SIZE "$SCRATCH/fs" && mkfs.ext4 -qF "$SCRATCH/fs" || exit 1
# At its end something of another kind: a backup superblock of RAID is far from any header.
printf '\xfc\x4e\x2b\xa9' | dd of="$SCRATCH/fs" bs=1 seek=$((24 * 1048576 - 65536)) conv=notrunc status=none
BEFORE=$(sha256sum <"$SCRATCH/fs")

# device SIZE: a loop device over the file system, cut or grown to SIZE
device() {
	cp --sparse=always "$SCRATCH/fs" "$SCRATCH/device" && truncate -s "$1" "$SCRATCH/device" &&
		DEVICE=$(loop_of "$SCRATCH/device" "${@:2}") && BEFORE=$(sha256sum <"$DEVICE")
}

# refused STATUS SENTENCE OPTIONS...: ours ends with STATUS (0: with cryptsetup's) and says so; nothing is changed
refused() {
	local status=$1 sentence=$2 found
	shift 2
	if [ "$status" = 0 ]; then
		"$CRYPTSETUP" -q luksFormat --type luks2 "$SCRATCH/theirs" "$@" <"$SCRATCH/key" >/dev/null 2>&1
		status=$?
		check "$*: cryptsetup refuses it" [ $status != 0 ]
	fi
	"$CRYPTVOL" -q luksFormat "$DEVICE" "$@" <"$SCRATCH/key" >"$SCRATCH/said" 2>&1
	check_equal "$*: status" $status $?
	found=$(grep -cE -e "$sentence" "$SCRATCH/said")
	[ "$found" -gt 0 ] || cat "$SCRATCH/said"
	check "$*: says why" [ "$found" -gt 0 ]
	sync "$DEVICE"
	check_equal "$*: not a byte is changed" "$BEFORE" "$(sha256sum <"$DEVICE")"
}

device $SIZE
while IFS='|' read -r status sentence options; do
	case $status in '' | \#*) continue ;; esac
	read -ra words <<<"$options"
	refused "$status" "$sentence" "${words[@]}"
done <<T
# status (0: cryptsetup's)|sentence|options
0|Unsupported encryption sector size|--sector-size 1000 ${FAST_KDF[*]}
0|cipher|--cipher foo ${FAST_KDF[*]}
0|isn't allowed|--key-size 128 ${FAST_KDF[*]}
0|[Kk]ey size|--key-size 255 ${FAST_KDF[*]}
1|no cipher specification|--cipher aes-ecb --key-size 256 ${FAST_KDF[*]}
1|encrypts nothing|--cipher cipher_null-ecb --key-size 256 ${FAST_KDF[*]}
0|hash|--hash foo ${FAST_KDF[*]}
0|UUID|--uuid 1-2-3 ${FAST_KDF[*]}
0|metadata size|--luks2-metadata-size 24k ${FAST_KDF[*]}
0|keyslots|--luks2-keyslots-size 4097 ${FAST_KDF[*]}
0|keyslots|--luks2-keyslots-size 129m ${FAST_KDF[*]}
1|the header needs|--luks2-keyslots-size 32m ${FAST_KDF[*]}
0|no room|--offset 16 ${FAST_KDF[*]}
0|multiple of|--offset 32772 ${FAST_KDF[*]}
1|the header needs|--offset 65536 ${FAST_KDF[*]}
1|within the header|--offset 4096 --luks2-keyslots-size 8m ${FAST_KDF[*]}
0|[Kk]ey slot|--key-slot 32 ${FAST_KDF[*]}
1|at most 47 bytes|--label 123456789012345678901234567890123456789012345678 ${FAST_KDF[*]}
0|Cannot read 64 bytes|--volume-key-file $SCRATCH/key63 ${FAST_KDF[*]}
0||--volume-key-file /nonexistent ${FAST_KDF[*]}
0|Nothing to read|--key-file /dev/null ${FAST_KDF[*]}
0|nonexistent|--key-file /nonexistent ${FAST_KDF[*]}
0||--pbkdf foo
0|iterations|--pbkdf pbkdf2 --pbkdf-force-iterations 999
0|iterations|--pbkdf argon2id --pbkdf-force-iterations 3
0||--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 16
3|memory|--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 4000000 --pbkdf-parallel 1
1|isn't allowed|--keyslot-cipher aes-cbc-plain --keyslot-key-size 256 ${FAST_KDF[*]}
0||--sector-size 512 --integrity foo ${FAST_KDF[*]}
T

# Interrupted while the key is derived: there was time enough to do harm before.
"$CRYPTVOL" -q luksFormat "$DEVICE" --pbkdf pbkdf2 --pbkdf-force-iterations 900000000 <"$SCRATCH/key" &
pid=$!
until [ "$(awk '{print $14}' /proc/$pid/stat 2>/dev/null || echo 99)" -ge 20 ]; do sleep 0.1; done
kill -TERM $pid # a shell's background processes ignore SIGINT
wait $pid
check "interrupted: it does not succeed" [ $? != 0 ]
check_equal "interrupted: not a byte is changed" "$BEFORE" "$(sha256sum <"$DEVICE")"

mkdir "$SCRATCH/mnt" && mount -t ext4 -o ro,noload "$DEVICE" "$SCRATCH/mnt"
refused 5 "in use|mounted" "${FAST_KDF[@]}"
umount "$SCRATCH/mnt"
losetup -d "$DEVICE"

device $SIZE -r
refused 1 "read-only" "${FAST_KDF[@]}"
losetup -d "$DEVICE"

device $((24 * 1048576 + 512))
refused 1 "not aligned to requested sector size" --sector-size 4096 "${FAST_KDF[@]}"
losetup -d "$DEVICE"

device 10M
refused 1 "the header needs" "${FAST_KDF[@]}"
losetup -d "$DEVICE"

# A detached header in a file that holds something else, and one that isn't there yet.
device $SIZE
cp "$SCRATCH/fs" "$SCRATCH/header"
before=$(sha256sum <"$SCRATCH/header")
refused 1 "hash" --header "$SCRATCH/header" --hash foo "${FAST_KDF[@]}"
check_equal "the header's file: not a byte is changed" "$before" "$(sha256sum <"$SCRATCH/header")"
refused 1 "hash" --header "$SCRATCH/new" --hash foo "${FAST_KDF[@]}"
check "no header file is left" [ ! -e "$SCRATCH/new" ]

# The control: the same device, nothing to refuse.
check "a format that isn't refused" "$CRYPTVOL" -q luksFormat "$DEVICE" "${FAST_KDF[@]}" --key-file "$SCRATCH/key"
check_equal "nothing else is recognised any more" "crypto_LUKS" \
	"$(wipefs --noheadings --output TYPE "$DEVICE" | sort -u | tr -d ' ' | paste -sd,)"
losetup -d "$DEVICE"
nothing_left_behind "at the end"
