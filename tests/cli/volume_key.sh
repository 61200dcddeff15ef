#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume key that ends in zeros: its first half has the same digest, and is refused all the same, wherever a volume key is taken.
. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup
cd "$SCRATCH" || exit 1
EDIT=$ROOT/tests/cli/edit_header.py
printf one >one && printf two >two && printf three >three
head -c 32 /dev/urandom >half
{ cat half && head -c 32 /dev/zero; } >whole
truncate -s 20M img
cryptsetup -q luksFormat "${FAST_KDF[@]}" -s 512 --volume-key-file whole img one
cp img before

check "the whole key verifies" "$CRYPTVOL" open --test-passphrase --volume-key-file whole img
check_status "open: half a key" 2 "$CRYPTVOL" open --test-passphrase --volume-key-file half -s 256 img
check_status "luksAddKey: half a key" 2 "$CRYPTVOL" luksAddKey "${FAST_KDF[@]}" --volume-key-file half -s 256 img two
check "nothing was written" cmp before img
check_status "luksFormat: half a key" 1 "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" -s 512 --volume-key-file half img one
check "nothing was formatted" cmp before img

# A keyslot as that made: an unbound key of half the length, then given to the volume's digest.
check "an unbound key" "$CRYPTVOL" luksAddKey "${FAST_KDF[@]}" --unbound --volume-key-file half -s 256 img two
python3 "$EDIT" img 'j["digests"]["0"]["keyslots"].append("1"); del j["digests"]["1"]'
check "cryptsetup takes its passphrase" cryptsetup open --test-passphrase -S 1 -d two img
check_status "ours doesn't" 2 "$CRYPTVOL" open --test-passphrase -d two img
check_status "nor by number" 1 "$CRYPTVOL" open --test-passphrase -S 1 -d two img
check_says "and says why" 'keyslot 1: key_size is 32, the volume.s key has 64 bytes' "$CRYPTVOL" open --test-passphrase -S 1 -d two img
check "the other passphrase opens" "$CRYPTVOL" open --test-passphrase -d one img
check "a key is added" "$CRYPTVOL" luksAddKey "${FAST_KDF[@]}" -d one img three
check "and opens, by cryptsetup" cryptsetup open --test-passphrase -d three img
