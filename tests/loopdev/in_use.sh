#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# What is in use is not written over, and what was written over meanwhile isn't mapped: a format beside an open and a mount, a header
# restored below a mount, a mapping over its own header, and a header copy that is newer.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need "$CRYPTSETUP" dmsetup losetup mkfs.ext4 mount flock python3
need_target crypt linear

NAME=inuse$$
FORMAT=(-q luksFormat --type luks2 "${FAST_KDF[@]}" --luks2-metadata-size 16k --luks2-keyslots-size 1m)
printf 'one' >"$SCRATCH/one"
printf 'two' >"$SCRATCH/two"

# Until the kernel lists this process among those that wait for a lock.
blocked() {
	local limit=$((SECONDS + 60))
	until grep -q -- "-> FLOCK .* $1 " /proc/locks; do
		kill -0 "$1" 2>/dev/null && [ $SECONDS -lt $limit ] || return 1
		sleep 0.05
	done
}

ext4_image() {
	local image
	image=$(make_image 32M) && mkfs.ext4 -q -F "$image" && echo "$image"
}

# ---- a format that waits for the metadata lock, its key derived ----
start_format() {
	exec 9<>"$1"
	flock -s 9
	"$CRYPTVOL" "${FORMAT[@]}" --key-file "$SCRATCH/two" "$1" 9>&- >"$SCRATCH/said" 2>&1 &
	FORMATTING=$!
	check "$2: the format has derived its key" blocked $FORMATTING
}

end_format() {
	exec 9>&-
	wait $FORMATTING
	check_equal "$1" "$2" "$?"
	cat "$SCRATCH/said"
}

IMAGE=$(make_image 32M)
"$CRYPTSETUP" "${FORMAT[@]}" --key-file "$SCRATCH/one" "$IMAGE" || fail "format"
start_format "$IMAGE" "beside open"
check_status "beside open: the image is in use" 5 "$CRYPTVOL" open --key-file "$SCRATCH/one" "$IMAGE" "$NAME"
check_status "beside open: for another format as well" 5 "$CRYPTVOL" "${FORMAT[@]}" --key-file "$SCRATCH/one" "$IMAGE"
end_format "beside open: the format ends well" 0
check "beside open: the new key opens" "$CRYPTSETUP" open --test-passphrase --key-file "$SCRATCH/two" "$IMAGE"

IMAGE=$(make_image 32M)
"$CRYPTSETUP" "${FORMAT[@]}" --key-file "$SCRATCH/one" "$IMAGE" || fail "format"
start_format "$IMAGE" "beside cryptsetup's open"
check "beside cryptsetup's open: it claims nothing, and maps" "$CRYPTSETUP" open --key-file "$SCRATCH/one" "$IMAGE" "$NAME"
end_format "beside cryptsetup's open: the format is refused" 5
check "beside cryptsetup's open: the old key opens" "$CRYPTSETUP" open --test-passphrase --key-file "$SCRATCH/one" "$IMAGE"
"$CRYPTSETUP" close "$NAME"

IMAGE=$(ext4_image)
LOOP=$(loop_of "$IMAGE")
mkdir "$SCRATCH/mnt"
start_format "$IMAGE" "beside a mount"
check "beside a mount: it is mounted" mount "$LOOP" "$SCRATCH/mnt"
end_format "beside a mount: the format is refused" 5
umount "$SCRATCH/mnt"
check "beside a mount: the file system is whole" fsck.ext4 -fn "$LOOP"

# Two loop devices over one file: the format has one, the mount the other.
OTHER=$(loop_of "$IMAGE")
mount "$OTHER" "$SCRATCH/mnt"
check_status "mounted through another loop device" 5 "$CRYPTVOL" "${FORMAT[@]}" --key-file "$SCRATCH/two" "$LOOP"
umount "$SCRATCH/mnt"

# ---- a header restored ----
BACKUP=$SCRATCH/backup
VOLUME=$(make_loop 32M)
"$CRYPTSETUP" "${FORMAT[@]}" --key-file "$SCRATCH/one" "$VOLUME" || fail "format"
"$CRYPTSETUP" luksHeaderBackup --header-backup-file "$BACKUP" "$VOLUME"
restore() { "$CRYPTVOL" -q luksHeaderRestore --header-backup-file "$BACKUP" "$1"; }

mount "$LOOP" "$SCRATCH/mnt"
check_status "restore over an image that is mounted through a loop device" 5 restore "$IMAGE"
umount "$SCRATCH/mnt"
dmsetup create "$NAME" --table "0 65536 linear $LOOP 0"
mount "/dev/mapper/$NAME" "$SCRATCH/mnt"
check_status "restore over a device below a mounted mapping" 5 restore "$LOOP"
check_status "restore over the image two steps below" 5 restore "$IMAGE"
umount "$SCRATCH/mnt"
dmsetup remove --retry "$NAME"
printf plain | "$CRYPTSETUP" open --type plain -c aes-xts-plain64 -s 256 -h sha256 -d - "$LOOP" "$NAME"
check_status "restore over a plain mapping's data" 5 restore "$LOOP"
"$CRYPTSETUP" close "$NAME"
check "after all, the file system is whole" fsck.ext4 -fn "$LOOP"
"$CRYPTVOL" open --key-file "$SCRATCH/one" "$VOLUME" "$NAME"
check "restore below the volume's own mapping" restore "$VOLUME"
"$CRYPTVOL" close "$NAME"
losetup -d "$LOOP" "$OTHER"

# ---- data over its own header ----
HEADER=$(make_image 16M)
"$CRYPTSETUP" "${FORMAT[@]}" --key-file "$SCRATCH/one" --header "$HEADER" "$VOLUME" || fail "format detached"
HLOOP=$(loop_of "$HEADER")
over_itself() {
	check_status "$1: refused" 1 "$CRYPTVOL" open --key-file "$SCRATCH/one" "${@:2}" "$NAME"
	check_status "$1: nothing is mapped" 4 "$CRYPTVOL" status "$NAME"
}
over_itself "a detached header opened without --header" "$HEADER"
over_itself "header and data are one file" --header "$HEADER" "$HEADER"
over_itself "the data is a loop device over the header" --header "$HEADER" "$HLOOP"
over_itself "the header is a loop device over the data" --header "$HLOOP" "$HEADER"
dmsetup create "$NAME-lin" --table "0 32768 linear $HLOOP 0"
over_itself "the data is a mapping over the header" --header "$HEADER" "/dev/mapper/$NAME-lin"
dmsetup remove --retry "$NAME-lin"
for pair in "$HEADER $HEADER" "$HEADER $HLOOP" "$HLOOP $HEADER" "$HLOOP $HLOOP"; do
	check_status "format with header and data on one device" 5 "$CRYPTVOL" "${FORMAT[@]}" --key-file "$SCRATCH/two" \
		--header "${pair% *}" "${pair#* }"
done
check "the header is whole" "$CRYPTSETUP" open --test-passphrase --key-file "$SCRATCH/one" "$HEADER"
check "with its own data it opens" "$CRYPTVOL" open --key-file "$SCRATCH/one" --header "$HEADER" "$VOLUME" "$NAME"
"$CRYPTVOL" close "$NAME"
losetup -d "$HLOOP" "$VOLUME"

# ---- a copy that is newer, and that can't be read ----
IMAGE=$(make_image 32M)
"$CRYPTSETUP" "${FORMAT[@]}" --key-file "$SCRATCH/one" "$IMAGE" || fail "format"
python3 - "$IMAGE" <<'END'
import hashlib, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(16384)
    copy = bytearray(f.read(16384))
    copy[16:24] = (int.from_bytes(copy[16:24], "big") + 5).to_bytes(8, "big")
    copy[4096:] = copy[4096:].rstrip(b"\0").replace(b'"json_size":"12288"', b'"json_size":"1228x"').ljust(12288, b"\0")
    copy[448:512] = bytes(64)
    copy[448:480] = hashlib.sha256(copy).digest()
    f.seek(16384)
    f.write(copy)
END
before=$(cksum <"$IMAGE")
check_says "repair with no terminal: the newer copy isn't rolled back" "is newer" "$CRYPTVOL" repair "$IMAGE"
check_status "it says so by its status" 1 "$CRYPTVOL" repair "$IMAGE"
check_equal "nothing is written" "$before" "$(cksum <"$IMAGE")"
check "with --batch-mode it is" "$CRYPTVOL" -q repair "$IMAGE"
check "and both copies are one" cmp <(dd if="$IMAGE" bs=4096 skip=1 count=3 status=none) <(dd if="$IMAGE" bs=4096 skip=5 count=3 status=none)
nothing_left_behind "after all"
