#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The images that we ship, judged by ours and by cryptsetup as far as no kernel support is needed;
# and the judge itself: it has to find a verdict that is wrong.
here=$(dirname "$(readlink -f "$0")")
. "$here/../lab/lib.sh"
need cryptsetup
unset LAB_KERNEL
"$here/run.py" "$here/../images" >"$SCRATCH/table"
status=$?
# An image whose cipher this kernel lacks is judged in the guest, by tests/interop/images.sh.
grep -E '^(ok|FAIL) ' "$SCRATCH/table"
check_equal "the images that we ship: as wanted" 0 "$status" ||
	grep -vE '^(ok|FAIL|SKIP) ' "$SCRATCH/table"

# planted NAME CHANGE: a folder of one image whose sidecar (changed by sed) is not true
planted() {
	local name=$1 change=$2 dir=$SCRATCH/planted
	rm -rf "$dir" && mkdir "$dir"
	cp "$here/../images/hash-sha1.img.xz" "$dir"
	sed "$change" "$here/../images/hash-sha1.json" >"$dir/hash-sha1.json"
	check_status "the judge finds $name" "${3:-1}" "$here/run.py" "$dir"
}
planted "nothing where all is true" '' 0
planted "a wrong volume key" 's/"volume_key_hex": "./"volume_key_hex": "x/'
planted "a passphrase that does not open" '0,/battery staple/s//battery stable/'
planted "an open that should have been refused" 's/"open": true/"open": false/'
planted "a wrong UUID" 's/"uuid": "c/"uuid": "d/'
