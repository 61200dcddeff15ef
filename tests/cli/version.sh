#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --version, as callers of cryptsetup read it: the first version in the line, and the flags behind it.
. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup
ln -s "$CRYPTVOL" "$SCRATCH/cryptsetup"

# What Longhorn and others take: the first thing that looks like a version.
first_version() { grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1; }
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

line=$("$SCRATCH/cryptsetup" --version)
check "as cryptsetup: its shape" grep -qE '^cryptsetup 2\.8\.[0-9]+ flags: UDEV BLKID KEYRING KERNEL_CAPI $' <<<"$line"
check_equal "as cryptsetup: the flags of the one that is installed" "$(cryptsetup --version | sed 's/.*flags/flags/')" \
	"$(sed 's/.*flags/flags/' <<<"$line")"
check "as cryptsetup: at least 2.1.0" at_least 2.1.0 "$(first_version <<<"$line")"
check_equal "as cryptsetup: -V says the same" "$line" "$("$SCRATCH/cryptsetup" -V)"
own=$("$CRYPTVOL" --version)
check_equal "under our own name: the same first version" "$(first_version <<<"$line")" "$(first_version <<<"$own")"
check "under our own name: ours stands at the end" grep -qE '^cryptvol \(cryptsetup .*\) version [0-9.]+$' <<<"$own"
for verb in isLuks luksFormat; do
	check_equal "$verb --version" "$line" "$("$SCRATCH/cryptsetup" "$verb" --version)"
done
