#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A live volume that keeps its key grows without its passphrase: from another process in another session
# keyring, with two clones of one header open, with the header on disk replaced.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup keyctl
need_target crypt

MIB=2048 # in sectors
NAME=vgrow$$

# in_new_session COMMAND...: nothing but the user keyring leads from there to a key of ours
in_new_session() {
	keyctl session - "$@" 2> >(grep -v '^Joined session keyring' >&2)
}

sectors() {
	dmsetup table "$1" | awk '{ n += $2 } END { print n + 0 }'
}

# Written by us through the mapping, read below it: what the key makes of a fixed plaintext.
write_plain() { # MAPPING MIB
	yes "fixed plaintext" | dd of="/dev/mapper/$1" bs=1M seek="$2" count=1 iflag=fullblock oflag=direct,sync 2>/dev/null
}
cipher_sum() { # IMAGE MIB
	dd if="$1" bs=1M skip=$((16 + $2)) count=1 2>/dev/null | sha256sum
}
plain_sum() { # MAPPING MIB
	dd if="/dev/mapper/$1" bs=1M skip="$2" count=1 iflag=direct 2>/dev/null | sha256sum
}

# Keys that anybody can list: none is left in a keyring
keys_listed() {
	grep -cE "cryptvol:|cryptsetup:" /proc/keys
}

IMAGE=$(make_image 32M)
check "format" pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 "$IMAGE" -d -
CLONE=$SCRATCH/clone
cp --sparse=always "$IMAGE" "$CLONE"

# ---- one volume, a later process ----
check "open, key kept" pass secret "$CRYPTVOL" open --keep-key "$IMAGE" "$NAME" -d -
check_equal "no key in a keyring" 0 "$(keys_listed)"
write_plain "$NAME" 3
before=$(cipher_sum "$IMAGE" 3) plain=$(plain_sum "$NAME" 3)
truncate -s 48M "$IMAGE"
check "grow in a new session keyring" in_new_session "$CRYPTVOL" resize "$NAME"
check_equal "it has grown" $((32 * MIB)) "$(sectors "$NAME")"
check_equal "what was written reads the same" "$plain" "$(plain_sum "$NAME" 3)"
write_plain "$NAME" 3
check_equal "the same ciphertext of the same plaintext" "$before" "$(cipher_sum "$IMAGE" 3)"
write_plain "$NAME" 31
check_equal "the new end can be written and read" "$plain" "$(plain_sum "$NAME" 31)"
check "already that size" in_new_session "$CRYPTVOL" resize "$NAME"
check_equal "still no key in a keyring" 0 "$(keys_listed)"

# ---- a clone of the same header: the same key description ----
check "open the clone" pass secret "$CRYPTVOL" open --keep-key "$CLONE" "$NAME-clone" -d -
write_plain "$NAME-clone" 3
check_equal "the clone's ciphertext is the original's" "$before" "$(cipher_sum "$CLONE" 3)"
truncate -s 64M "$IMAGE"
truncate -s 40M "$CLONE"
check "grow the clone" in_new_session "$CRYPTVOL" resize "$NAME-clone"
check_equal "the clone has grown" $((24 * MIB)) "$(sectors "$NAME-clone")"
check_equal "the other hasn't" $((32 * MIB)) "$(sectors "$NAME")"
check "close the clone" "$CRYPTVOL" close "$NAME-clone"
check "grow the other" in_new_session "$CRYPTVOL" resize "$NAME"
check_equal "the other has grown" $((48 * MIB)) "$(sectors "$NAME")"
write_plain "$NAME" 3
check_equal "with its own key still" "$before" "$(cipher_sum "$IMAGE" 3)"

# ---- two volumes of one header whose keys differ: each reload has to find its own ----
# The clone is formatted anew under the same UUID: the same description, another key.
uuid=$("$CRYPTVOL" luksUUID "$IMAGE")
check "the clone gets another key and the same UUID" pass secret \
	"$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 --uuid "$uuid" "$CLONE" -d -
check "open it" pass secret "$CRYPTVOL" open --keep-key "$CLONE" "$NAME-clone" -d -
write_plain "$NAME-clone" 3
other=$(cipher_sum "$CLONE" 3)
[ "$other" != "$before" ] && ok "its key is another" || fail "its key is another"
truncate -s 72M "$IMAGE"
truncate -s 48M "$CLONE"
check "grow both, the second first" in_new_session "$CRYPTVOL" resize "$NAME-clone"
check "grow both" in_new_session "$CRYPTVOL" resize "$NAME"
write_plain "$NAME" 3
write_plain "$NAME-clone" 3
check_equal "the first kept its key" "$before" "$(cipher_sum "$IMAGE" 3)"
check_equal "the second kept its key" "$other" "$(cipher_sum "$CLONE" 3)"
check "close the second" "$CRYPTVOL" close "$NAME-clone"

# ---- the header on disk is another's by now ----
table=$(dmsetup table "$NAME" | cut -d' ' -f4-)
check "another header" pass other "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --offset $((4 * MIB)) \
	--sector-size 4096 "$CLONE" -d -
dd if="$CLONE" of="$IMAGE" bs=1M count=4 conv=notrunc,fsync 2>/dev/null
truncate -s 80M "$IMAGE"
check "grow with the header replaced" in_new_session "$CRYPTVOL" resize "$NAME"
check_equal "it has grown by the live table" $((64 * MIB)) "$(sectors "$NAME")"
check_equal "nothing else of the table changed" "$table" "$(dmsetup table "$NAME" | cut -d' ' -f4-)"
write_plain "$NAME" 3
check_equal "its key is the old one" "$before" "$(cipher_sum "$IMAGE" 3)"
check "it can still be closed" "$CRYPTVOL" close "$NAME"

# ---- opened without --keep-key: nothing is kept, the passphrase is needed ----
IMAGE=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$IMAGE" -d -
check "open, key not kept" pass secret "$CRYPTVOL" open "$IMAGE" "$NAME" -d -
check_equal "no key in a keyring" 0 "$(keys_listed)"
truncate -s 48M "$IMAGE"
check_status "no key: it fails" 1 "$CRYPTVOL" resize "$NAME" </dev/null
check_equal "no key: nothing changes" $((16 * MIB)) "$(sectors "$NAME")"
check_status "wrong passphrase: 2" 2 pass wrong "$CRYPTVOL" resize "$NAME" -d -
check_equal "wrong passphrase: nothing changes" $((16 * MIB)) "$(sectors "$NAME")"
check "with the passphrase it grows" pass secret "$CRYPTVOL" resize "$NAME" -d -
check_equal "with the passphrase it has grown" $((32 * MIB)) "$(sectors "$NAME")"
dd if="$IMAGE" of="$SCRATCH/header" bs=1M count=4 2>/dev/null
dd if="$CLONE" of="$IMAGE" bs=1M count=4 conv=notrunc,fsync 2>/dev/null
check_status "another header's passphrase is refused" 1 pass other "$CRYPTVOL" resize --size $((8 * MIB)) "$NAME" -d -
check_equal "another header: nothing changes" $((32 * MIB)) "$(sectors "$NAME")"
dd if="$SCRATCH/header" of="$IMAGE" bs=1M count=4 conv=notrunc,fsync 2>/dev/null
check "shrink by an explicit size" pass secret "$CRYPTVOL" resize --size $((8 * MIB)) "$NAME" -d -
check_equal "it has shrunk" $((8 * MIB)) "$(sectors "$NAME")"
check "close" "$CRYPTVOL" close "$NAME"

# ---- kept from now on ----
check "open, key not kept" pass secret "$CRYPTVOL" open "$IMAGE" "$NAME" -d -
check_status "to keep it takes the passphrase" 1 "$CRYPTVOL" refresh --keep-key "$NAME" </dev/null
check "keep it" pass secret "$CRYPTVOL" refresh --keep-key "$NAME" -d -
truncate -s 64M "$IMAGE"
check "grow by the table's own key" in_new_session "$CRYPTVOL" resize "$NAME"
check_equal "it has grown by it" $((48 * MIB)) "$(sectors "$NAME")"

# ---- smaller by a fault: never shrunk by itself ----
truncate -s 40M "$IMAGE"
check_status "a device that lost its end is an error" 1 "$CRYPTVOL" resize "$NAME" </dev/null
check_equal "the mapping is as it was" $((48 * MIB)) "$(sectors "$NAME")"
check "close it" "$CRYPTVOL" close "$NAME"
nothing_left_behind "at the end"
