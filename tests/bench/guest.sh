#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: open and close of one volume with a cheap KDF in turn: ours, our static command's, the ioctls alone, cryptsetup's.
# usage: guest.sh RATIO STATIC BARE ROUNDS
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
printf secret >"$dir/pw"
disk=${LAB_DISKS%% *}
mkdir -p /run/cryptsetup
cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$disk" "$dir/pw"
cs=$(command -v cryptsetup)
"$1" "$4" -- "$CRYPTVOL" open -d "$dir/pw" "$disk" bench -- "$CRYPTVOL" close bench \
	-- "$2" open -d "$dir/pw" "$disk" bench -- "$2" close bench \
	-- "$3" open "$disk" bench -- "$3" close bench \
	-- "$cs" open -d "$dir/pw" "$disk" bench -- "$cs" close bench | sed 's/^/cost /'
