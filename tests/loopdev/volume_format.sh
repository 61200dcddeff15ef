#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Format on real devices: what stood there, who is refused, detached headers, alignment, sectors.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup wipefs mkfs.ext4
need_target crypt

NAME=vform$$
format() { pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$@" -d -; }
dump() { cryptsetup luksDump "$1" | sed -n "s/^.*$2: *//p" | head -n 1; }

# ---- foreign signatures go, LUKS stays alone ----
IMAGE=$(make_image 64M)
LOOP=$(loop_of "$IMAGE")
mkfs.ext4 -q -F "$LOOP"
printf '_BHRfS_M' | dd of="$LOOP" bs=1 seek=$((65536 + 64)) conv=notrunc 2>/dev/null
check "format over ext4" format "$LOOP"
check_equal "only LUKS is left" "crypto_LUKS" "$(wipefs "$LOOP" | awk 'NR > 1 { print $3 }' | sort -u)"
check "cryptsetup opens it" pass secret cryptsetup open --test-passphrase "$LOOP" -d -

# ---- a device in use is not formatted ----
pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
before=$(cryptsetup luksUUID "$LOOP")
check_status "format in use: 5" 5 format "$LOOP"
check_equal "its header is as it was" "$before" "$(cryptsetup luksUUID "$LOOP")"
check_status "format of its image in use: 5" 5 format "$IMAGE"
check_equal "its header is still as it was" "$before" "$(cryptsetup luksUUID "$LOOP")"
"$CRYPTVOL" close "$NAME"
losetup -d "$LOOP"

# ---- detached header ----
DATA=$(make_image 32M)
HEADER=$SCRATCH/header
check "the header file is made" format --header "$HEADER" "$DATA"
check "cryptsetup opens by it" pass secret cryptsetup open --test-passphrase --header "$HEADER" "$DATA" -d -
check_equal "nothing is written to the data" "" "$(tr -d '\0' <"$DATA" | head -c 1)"
check "open with it" pass secret "$CRYPTVOL" open --header "$HEADER" "$DATA" "$NAME" -d -
check_equal "data from sector 0 on" "0 65536 0" "$(dmsetup table "$NAME" | cut -d' ' -f1,2,8)"
"$CRYPTVOL" close "$NAME"
rm "$HEADER"
check_status "a failed format" 1 format --header "$HEADER" --cipher no-such-cipher "$DATA"
check_status "leaves no header file" 1 test -e "$HEADER"
printf old >"$HEADER"
check_status "a failed format over a file" 1 format --header "$HEADER" --cipher no-such-cipher "$DATA"
check_equal "leaves the file as it was" old "$(cat "$HEADER")"

# ---- sectors by the device, alignment by its topology ----
for size in 512 4096; do
	LOOP=$(make_loop 64M -b $size) || continue
	check "format on $size-byte sectors" format "$LOOP"
	check_equal "sectors of $size bytes" "$size [bytes]" "$(dump "$LOOP" sector)"
	losetup -d "$LOOP"
done
LOOP=$(make_loop 64M -b 512)
check "explicit sectors" format --sector-size 4096 "$LOOP"
check_equal "explicit sectors hold" "4096 [bytes]" "$(dump "$LOOP" sector)"
losetup -d "$LOOP"
ODD=$(make_image $((32 * 1024 * 1024 + 512)))
check "an odd image" format "$ODD"
check_equal "an odd image has 512-byte sectors" "512 [bytes]" "$(dump "$ODD" sector)"
check "and opens" pass secret "$CRYPTVOL" open "$ODD" "$NAME" -d -
"$CRYPTVOL" close "$NAME"

# ---- too small, read-only, unreadable ----
TINY=$(make_image 8M)
check_status "too small a device is refused" 1 format "$TINY"
check_equal "and is as it was" "" "$(tr -d '\0' <"$TINY" | head -c 1)"
LOOP=$(make_loop 32M -r)
check_status "a read-only device is refused" 1 format "$LOOP"
losetup -d "$LOOP"
# Its first MiB reads, the last doesn't: what stands there is not known, so nothing is written.
LOOP=$(make_loop 64M)
dmsetup create "$NAME-bad" <<T
0 120000 linear $LOOP 0
120000 1000 error
T
check_status "a read error is no blank device" 1 format "/dev/mapper/$NAME-bad"
check_equal "nothing was written there" "" "$(head -c 32M "$LOOP" | tr -d '\0' | head -c 1)"
dmsetup remove "$NAME-bad"
losetup -d "$LOOP"
nothing_left_behind "at the end"
