#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A live mapping, by both programs: refresh, resize, status, and a device that goes away below it.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup
need_target crypt

NAME=vlive$$
flags() { dmsetup table "$1" | cut -d' ' -f9-; }
sectors() { dmsetup table "$1" | cut -d' ' -f2; }

IMAGE=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 "$IMAGE" -d - || fail "format"
LOOP=$(loop_of "$IMAGE")

# ---- refresh ----
pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
exec 9<>"/dev/mapper/$NAME"
printf 'before the refresh' >&9
check "refresh with a flag, in use" pass secret "$CRYPTVOL" --allow-discards refresh "$NAME" -d -
check_equal "the flag holds" "1 allow_discards" "$(flags "$NAME")"
check_equal "the data is there" "before the refresh" "$(head -c 18 "/dev/mapper/$NAME")"
exec 9>&-
check "refresh without it" pass secret "$CRYPTVOL" refresh "$NAME" -d -
check_equal "the flag is gone" "" "$(flags "$NAME")"
check "refresh, persistent" pass secret "$CRYPTVOL" --allow-discards --persistent refresh "$NAME" -d -
check_equal "the persistent flag holds" "1 allow_discards" "$(flags "$NAME")"
check_says "cryptsetup reads it" "Flags:.*allow-discards" cryptsetup luksDump "$LOOP"
check_status "refresh with a wrong passphrase: 2" 2 pass wrong "$CRYPTVOL" refresh "$NAME" -d -
check_equal "it changes nothing" "1 allow_discards" "$(flags "$NAME")"
check_status "refresh of no mapping: 4" 4 pass secret "$CRYPTVOL" refresh "$NAME-x" -d -
check "cryptsetup refreshes ours" pass secret cryptsetup refresh --perf-no_read_workqueue "$NAME" -d -
check_equal "with its flag too" "2 allow_discards no_read_workqueue" "$(flags "$NAME")"
"$CRYPTVOL" close "$NAME"

# ---- the header is another's by now ----
pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
cp --sparse=always "$IMAGE" "$SCRATCH/old"
OTHER=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 "$OTHER" -d -
dd if="$OTHER" of="$LOOP" bs=1M count=1 conv=notrunc,fsync 2>/dev/null
before=$(dmsetup table "$NAME")
check_status "refresh by another header is refused" 1 pass secret "$CRYPTVOL" refresh "$NAME" -d -
check_status "resize by another header is refused" 1 pass secret "$CRYPTVOL" resize --size 1024 "$NAME" -d -
check_equal "the mapping is as it was" "$before" "$(dmsetup table "$NAME")"
dd if="$SCRATCH/old" of="$LOOP" bs=1M count=1 conv=notrunc,fsync 2>/dev/null
check "refresh by its own header" pass secret "$CRYPTVOL" refresh "$NAME" -d -
"$CRYPTVOL" close "$NAME"

# ---- each resizes and closes what the other opened ----
pass secret cryptsetup open "$LOOP" "$NAME" -d -
truncate -s 48M "$IMAGE"
check "we grow cryptsetup's" pass secret "$CRYPTVOL" resize "$NAME" -d -
check_equal "it has grown" 65536 "$(sectors "$NAME")"
check "we close it" "$CRYPTVOL" close "$NAME"
pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
truncate -s 56M "$IMAGE"
losetup -c "$LOOP"
check "cryptsetup grows ours" pass secret cryptsetup resize "$NAME" -d -
check_equal "ours has grown" 81920 "$(sectors "$NAME")"
check "cryptsetup closes it" cryptsetup close "$NAME"
nothing_left_behind "after both" "loop device over $IMAGE"

# ---- status: the same lines ----
pass secret "$CRYPTVOL" open --readonly --perf-no_read_workqueue "$LOOP" "$NAME" -d -
fields() { sed -n 's/^ *\(type\|cipher\|device\|loop\|mode\|flags\|key location\): */\1 /p' | sed 's/ *$//'; }
check_equal "status agrees with cryptsetup's" "$(cryptsetup status "$NAME" | fields)" "$("$CRYPTVOL" status "$NAME" | fields)"
"$CRYPTVOL" close "$NAME"
check_status "status of no mapping: 4" 4 "$CRYPTVOL" status "$NAME"
losetup -d "$LOOP"

# ---- the device below goes away ----
modprobe -q sd_mod
if modprobe -q scsi_debug dev_size_mb=64 2>/dev/null; then
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		disk=$(grep -ls scsi_debug /sys/block/sd*/device/model | head -n 1)
		[ -z "$disk" ] || break
		sleep 0.2
	done
	disk=${disk#/sys/block/} disk=${disk%%/*}
	check "format a disk" pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "/dev/$disk" -d -
	check "open it" pass secret "$CRYPTVOL" open "/dev/$disk" "$NAME" -d -
	check_says "its device" "^ *device: */dev/$disk$" "$CRYPTVOL" status "$NAME"
	echo 1 >"/sys/block/$disk/device/delete"
	check_says "the disk is pulled: (null)" "^ *device: *\(null\)$" "$CRYPTVOL" status "$NAME"
	check "its mapping closes all the same" "$CRYPTVOL" close "$NAME"
	rmmod scsi_debug 2>/dev/null
else
	skip "the disk is pulled: (null)" "no scsi_debug module"
fi
nothing_left_behind "at the end"
