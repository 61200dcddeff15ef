#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job, step by step, on a real kernel: format, open, mount, write, show that only
# ciphertext lies underneath, close, open with stock cryptsetup; then the same the other way round.
# Run by `make demo`; it ends with the first step that fails.
set -u
. "$(dirname "$0")/../lab/lib.sh"

MARKER="cryptvol-demo-marker-$$-$RANDOM$RANDOM"
PASSPHRASE="correct horse battery staple"
MOUNT=$SCRATCH/mnt
STEP=0

# step "what is done" COMMAND...: a numbered line with its result; the output only if it fails
step() {
	local what=$1
	shift
	STEP=$((STEP + 1))
	printf '%3d. %-66s ' "$STEP" "$what"
	if "$@" >"$SCRATCH/output" 2>&1; then
		echo "ok"
		OKS=$((OKS + 1))
		return 0
	fi
	echo "FAILED"
	sed 's/^/       | /' "$SCRATCH/output"
	printf '       | the command was: %s\n' "$*"
	exit 1
}

told() {
	sed 's/^/       /' "$SCRATCH/output"
}

# Reads past the page cache, so that what is on the device itself is searched.
contains() {
	blockdev --flushbufs "$1" && grep -aqF -e "$2" "$1"
}

contains_not() {
	! contains "$1" "$2"
}

write_marker() {
	printf '%s\n' "$MARKER" >"$MOUNT/secret.txt" && sync -f "$MOUNT/secret.txt"
}

read_marker() {
	[ "$(<"$MOUNT/secret.txt")" = "$MARKER" ]
}

refused() {
	! "$@"
}

wrong_passphrase() {
	"$@"
	[ $? = 2 ]
}

nothing_left() {
	[ -z "$(left_behind)" ]
}

picture() {
	cat <<P

    $MOUNT/secret.txt       "$MARKER"
        |  ext4
    /dev/mapper/$1
        |  dm-crypt, volume key in the kernel's keyring          plaintext above this line
    ----+----------------------------------------------------------------------------
        |  LUKS2 header + aes-xts ciphertext                     ciphertext below it
    $LOOP
        |
    $IMAGE

P
}

# round FORMATTER OPENER-LATER NAME: one formats and uses the volume, the other opens it afterwards
round() {
	local first=$1 second=$2 name=$3 one=${1##*/} two=${2##*/}
	step "make an empty image file of 64 MiB" truncate -s 0 "$IMAGE"
	truncate -s 64M "$IMAGE"
	LOOP=$(loop_of "$IMAGE") || exit 1
	step "$one luksFormat $LOOP" \
		pass "$PASSPHRASE" "$first" -q luksFormat --type luks2 "${FAST_KDF[@]}" "$LOOP" -d -
	step "$one open: a wrong passphrase is refused" \
		wrong_passphrase pass "wrong" "$first" open "$LOOP" "$name" -d -
	step "$one open $LOOP $name" pass "$PASSPHRASE" "$first" open "$LOOP" "$name" -d -
	step "$one status $name" "$first" status "$name"
	told
	step "mkfs.ext4 /dev/mapper/$name" mkfs.ext4 -q "/dev/mapper/$name"
	step "mount it" mount "/dev/mapper/$name" "$MOUNT"
	step "write a file with a marker into it" write_marker
	picture "$name"
	step "the marker is found in the mapped device (positive control)" \
		contains "/dev/mapper/$name" "$MARKER"
	step "the marker is NOT found on the device underneath" contains_not "$LOOP" "$MARKER"
	step "the marker is NOT found in the image file" refused grep -aqF -e "$MARKER" "$IMAGE"
	step "umount" umount "$MOUNT"
	step "$one close $name" "$first" close "$name"
	step "the mapping is gone" test ! -e "/dev/mapper/$name"
	step "$two opens the same volume" pass "$PASSPHRASE" "$second" open "$LOOP" "$name" -d -
	step "mount it read-only" mount -o ro "/dev/mapper/$name" "$MOUNT"
	step "the file reads back as it was written" read_marker
	step "umount" umount "$MOUNT"
	step "$two close $name" "$second" close "$name"
	step "release $LOOP" losetup -d "$LOOP"
}

need_root
need cryptsetup dmsetup losetup mkfs.ext4
need_target crypt
[ -x "$CRYPTVOL" ] || { echo "demo: there is no $CRYPTVOL; run make first" >&2 && exit 1; }
mkdir "$MOUNT" && IMAGE=$SCRATCH/volume.img

echo "== cryptvol on kernel $(uname -r) ($LAB_KERNEL), beside $("$CRYPTSETUP" --version)"
echo
echo "-- cryptvol formats and writes, stock cryptsetup reads"
round "$CRYPTVOL" "$(command -v "$CRYPTSETUP")" demo-ours
echo
echo "-- stock cryptsetup formats and writes, cryptvol reads"
round "$(command -v "$CRYPTSETUP")" "$CRYPTVOL" demo-theirs
echo
step "no mapping, loop device, key or lock is left" nothing_left
echo
echo "All $STEP steps hold."
