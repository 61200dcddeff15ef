#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The primary copy of a header under a file system's signature: every verb ends as cryptsetup's does, nothing is written, and after
# repair all of them work again.
. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup mkfs.ext4
cd "$SCRATCH" || exit 1
printf pw >key
truncate -s 24M whole other
cryptsetup -q luksFormat "${FAST_KDF[@]}" whole key
mkfs.ext4 -q other
cp whole both
# The superblock alone over a primary that lives, and the whole first block of an ext4.
dd if=other of=both bs=1024 skip=1 seek=1 count=1 conv=notrunc status=none
cp whole taken
dd if=other of=taken bs=4096 count=1 conv=notrunc status=none
VERBS=("isLuks" "luksUUID" "luksDump" "luksDump --dump-json-metadata" "luksHeaderBackup --header-backup-file saved"
	"open --test-passphrase -d key" "open -r --test-passphrase -d key" "--disable-locks open --test-passphrase -d key"
	"config --label x" "luksAddKey -d key ${FAST_KDF[*]}")

# ends PROGRAM IMAGE VERB OPTION...: its exit status, and whether the image is as it was
ends() {
	local program=$1 image=$2 more=()
	[ "$3" != luksAddKey ] || more=(key)
	cp "$image" tried && rm -f saved
	"$program" -q "${@:3}" tried "${more[@]}" >said 2>&1
	printf '%s' $?
	cmp -s "$image" tried && echo " same" || echo " written"
}

for image in both taken; do
	for verb in "${VERBS[@]}"; do
		read -ra words <<<"$verb"
		check_equal "$image: $verb" "$(ends cryptsetup $image "${words[@]}")" "$(ends "$CRYPTVOL" $image "${words[@]}")"
		grep -q "^${words[0]}$" <<<"isLuks" || check "$image: $verb: the reason" grep -q "carries ext4 data beside the LUKS header" said
	done
	check "$image: repair" "$CRYPTVOL" -q repair $image
	check "$image: repaired, it opens" "$CRYPTVOL" open --test-passphrase -d key $image
	check "$image: repaired, cryptsetup opens it" cryptsetup open --test-passphrase -d key $image
done
# What is damaged and nobody else's is used as before.
cp whole torn && dd if=/dev/zero of=torn bs=4096 count=1 conv=notrunc status=none
check "a damaged copy under nothing else: it opens" "$CRYPTVOL" open --test-passphrase -d key torn
