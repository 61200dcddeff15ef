#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prints the lines of dmcrypt.txt: what dm-crypt writes for each cipher. Run it where dm-crypt is.
set -u
D=$(mktemp -d "${LAB_OUT:-/tmp}/dmcrypt.XXXXXX") || exit 1
trap 'rm -rf "$D"' EXIT
cd "$D" || exit 1

python3 - <<'P'
open("plain", "wb").write(bytes((i * 7 + (i >> 8) + (i >> 9) * 31) & 255 for i in range(2048)))
open("key64", "wb").write(bytes((i * 11 + 3) & 255 for i in range(64)))
P

# one SPEC KEY_BYTES FIRST_SECTOR
one() {
	local loop
	head -c "$2" key64 >key
	truncate -s 1M disk
	loop=$(losetup -f --show disk)
	if cryptsetup open --type plain -c "$1" -s $(($2 * 8)) -d key --skip "$3" "$loop" vector; then
		dd if=plain of=/dev/mapper/vector bs=2048 count=1 oflag=direct status=none
		cryptsetup close vector
		printf '%s %s %s %s\n' "$1" "$(xxd -p -c 200 key)" "$3" "$(head -c 2048 disk | sha256sum | cut -d' ' -f1)"
	fi
	losetup -d "$loop"
	rm disk
}

while read -r spec bytes sector; do one "$spec" "$bytes" "$sector"; done <<'L'
aes-xts-plain64 32 0
aes-xts-plain64 48 7
aes-xts-plain64 64 0
aes-xts-plain64 64 4294967294
aes-xts-plain 64 4294967294
aes-cbc-essiv:sha256 16 5
aes-cbc-essiv:sha256 24 5
aes-cbc-essiv:sha256 32 0
aes-cbc-essiv:sha256 32 4294967295
aes-cbc-plain64 32 4294967295
camellia-cbc-plain64 32 3
camellia-cbc-essiv:sha256 16 3
capi:xts(aes)-plain64 64 9
capi:cbc(aes)-essiv:sha256 32 9
serpent-xts-plain64 64 1
serpent-xts-plain 32 1
serpent-cbc-essiv:sha256 32 2
twofish-xts-plain64 64 4294967295
twofish-cbc-plain64 24 2
camellia-xts-plain64 64 6
xchacha12,aes-adiantum-plain64 32 0
xchacha12,aes-adiantum-plain64 32 4294967295
xchacha20,aes-adiantum-plain64 32 77
capi:adiantum(xchacha12,aes)-plain64 32 5
capi:essiv(cbc(aes),sha256)-plain64 32 5
L
