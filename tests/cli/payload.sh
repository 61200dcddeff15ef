#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the data of a volume with a detached header begin: --align-payload and --offset give what cryptsetup gives or are refused as it
# refuses them, what lies before the data isn't written, and each opens the other's.
. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup python3
cd "$SCRATCH" || exit 1
printf pw >key
head -c 4M /dev/urandom >before

# made PROGRAM HEADER OPTION...: "OFFSET SECTOR-SIZE KEYSLOTS-SIZE", or the status
made() {
	local status program=$1 header=$2
	rm -f "$header" && cp before data && truncate -s 64M data
	"$program" -q luksFormat "${FAST_KDF[@]}" --header "$header" "${@:3}" data key >said 2>&1
	status=$?
	[ $status = 0 ] || { echo "status $status"; return; }
	cmp -n 4194304 before data >&2 || echo "data written"
	"$program" luksDump --dump-json-metadata "$header" | python3 -c '
import json, sys
j = json.load(sys.stdin)
print(j["segments"]["0"]["offset"], j["segments"]["0"]["sector_size"], j["config"]["keyslots_size"])'
}

while read -r options; do
	read -ra words <<<"$options"
	theirs=$(made cryptsetup theirs "${words[@]}")
	check_equal "$options: as cryptsetup" "$theirs" "$(made "$CRYPTVOL" ours "${words[@]}")"
	case $theirs in status*) continue ;; esac
	check_equal "$options: the dump's offset and sector size" "$(cryptsetup luksDump ours | grep -A3 '0: crypt')" \
		"$("$CRYPTVOL" luksDump ours | grep -A3 '0: crypt')"
	check "$options: cryptsetup opens ours" cryptsetup open --test-passphrase -d key --header ours data
	check "$options: ours opens cryptsetup's" "$CRYPTVOL" open --test-passphrase -d key --header theirs data
done <<-END
	--sector-size 512 --align-payload 2048
	--sector-size 4096 --align-payload 8192
	--sector-size 512 --align-payload 40001
	--sector-size 4096 --align-payload 40001
	--sector-size 512 --align-payload 8
	--sector-size 512 --align-payload 0
	--sector-size 4096 --offset 2048
	--sector-size 512 --offset 2049
	--sector-size 512 --offset 8
	--sector-size 512 --offset 0
END
