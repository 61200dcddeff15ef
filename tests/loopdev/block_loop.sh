#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# Image files behind loop devices: how they are attached, shared, grown, and that they go.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need dmsetup losetup mkfs.ext4 mount
need_target crypt

NAME=vblk$$
loop_over() { losetup -n -O NAME -j "$1"; }
field() { losetup -n -O "$2" -j "$1" | tr -d ' '; }

IMAGE=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 "$IMAGE" -d - || fail "format"
check_equal "a format needs no loop device" "" "$(loop_over "$IMAGE")"
check_status "a wrong passphrase" 2 pass wrong "$CRYPTVOL" open "$IMAGE" "$NAME" -d -
check_equal "leaves no loop device" "" "$(loop_over "$IMAGE")"
check "open an image" pass secret "$CRYPTVOL" open "$IMAGE" "$NAME" -d -
check_equal "one loop device, which goes by itself" 1 "$(field "$IMAGE" AUTOCLEAR)"
check_equal "of 512-byte sectors" 512 "$(field "$IMAGE" LOG-SEC)"
check_equal "not read-only" 0 "$(field "$IMAGE" RO)"
dd if=/dev/urandom of="/dev/mapper/$NAME" bs=64k count=16 oflag=direct 2>/dev/null &&
	ok "it can be written" || fail "it can be written"
check_status "the image is in use: 5" 5 pass secret "$CRYPTVOL" open "$IMAGE" "$NAME-2" -d -
check_equal "still one loop device" 1 "$(loop_over "$IMAGE" | wc -l)"
check "close" "$CRYPTVOL" close "$NAME"
check_equal "no loop device" "" "$(loop_over "$IMAGE")"

check "open read-only" pass secret "$CRYPTVOL" open --readonly "$IMAGE" "$NAME" -d -
check_equal "the loop device is read-only" 1 "$(field "$IMAGE" RO)"
"$CRYPTVOL" close "$NAME"

# An idle loop device over the image is somebody's business, not a hindrance, and isn't taken over.
LOOP=$(loop_of "$IMAGE")
check "beside an idle loop device" pass secret "$CRYPTVOL" open "$IMAGE" "$NAME" -d -
check_equal "ours is another" 2 "$(loop_over "$IMAGE" | wc -l)"
"$CRYPTVOL" close "$NAME"
check_equal "the idle one stays" "$LOOP" "$(loop_over "$IMAGE" | tr -d ' ')"
losetup -d "$LOOP"

# On a real file system direct I/O is on.
DISK=$(make_loop 128M)
mkdir "$SCRATCH/mnt"
if mkfs.ext4 -q -F "$DISK" && mount "$DISK" "$SCRATCH/mnt"; then
	cp --sparse=always "$IMAGE" "$SCRATCH/mnt/image"
	check "open an image on ext4" pass secret "$CRYPTVOL" open "$SCRATCH/mnt/image" "$NAME" -d -
	check_equal "direct I/O" 1 "$(field "$SCRATCH/mnt/image" DIO)"
	dd if=/dev/urandom of="/dev/mapper/$NAME" bs=64k count=16 oflag=direct 2>/dev/null &&
		ok "direct I/O works" || fail "direct I/O works"
	truncate -s 48M "$SCRATCH/mnt/image"
	check "the loop device learns of a grown file" pass secret "$CRYPTVOL" resize "$NAME" -d -
	check_equal "and the mapping grows" 65536 "$(dmsetup table "$NAME" | cut -d' ' -f2)"
	"$CRYPTVOL" close "$NAME"
	umount "$SCRATCH/mnt"
else
	skip "direct I/O" "no ext4 here"
fi
losetup -d "$DISK"

# Killed at any moment, the loop device goes with the process.
for delay in 0.01 0.03 0.06 0.1; do
	"$CRYPTVOL" open "$IMAGE" "$NAME" -d - 2>/dev/null < <(printf secret) &
	sleep $delay
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	dmsetup info "$NAME" >/dev/null 2>&1 && "$CRYPTVOL" close "$NAME"
done
nothing_left_behind "after kills"

# Ten at once: each gets a device of its own.
for i in 0 1 2 3 4 5 6 7 8 9; do cp --sparse=always "$IMAGE" "$SCRATCH/many$i"; done
for i in 0 1 2 3 4 5 6 7 8 9; do
	pass secret "$CRYPTVOL" open "$SCRATCH/many$i" "$NAME-$i" -d - 2>>"$SCRATCH/said" &
done
wait
check_equal "ten opens at once" 10 "$(dmsetup ls | grep -c "^$NAME-")"
for i in 0 1 2 3 4 5 6 7 8 9; do "$CRYPTVOL" close "$NAME-$i"; done
nothing_left_behind "at the end"
