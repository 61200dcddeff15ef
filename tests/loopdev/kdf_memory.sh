#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A keyslot that takes more memory than is available just now, by less than the margin that is left to others: refused, and with
# --exceed-available-memory derived; one beyond the machine's memory is refused with it, too.
. "$(dirname "$0")/../lab/lib.sh"
need_root

IMAGE=$(make_image 20M)
printf secret >"$SCRATCH/key"

mem() { awk -v what="$1:" '$1 == what { print $2 }' /proc/meminfo; } # KiB

# format KIB [OPTIONS]
format() {
	"$CRYPTVOL" -q luksFormat --key-file "$SCRATCH/key" --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-parallel 1 \
		--pbkdf-memory "$1" "${@:2}" "$IMAGE"
}

# Of what is available, a sixteenth but at most 32 MiB is the margin.
between() {
	local available margin
	available=$(mem MemAvailable) margin=$(($(mem MemAvailable) / 16))
	[ $margin -le 32768 ] || margin=32768
	echo $((available - margin / 2))
}

[ "$(mem MemAvailable)" -lt 3000000 ] || skip_all "this machine has too much memory"
check_says "refused: says why" "limit: what is available just now" format "$(between)"
check_status "refused: status" 3 format "$(between)"
check "with the option: luksFormat" format "$(between)" --exceed-available-memory
check "with the option: open" "$CRYPTVOL" open --test-passphrase --exceed-available-memory --key-file "$SCRATCH/key" "$IMAGE"
check_says "beyond the machine: says why" "limit: the machine's memory" format "$(mem MemTotal)" --exceed-available-memory
