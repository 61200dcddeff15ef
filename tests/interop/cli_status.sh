#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What status prints of a live mapping: cryptsetup 2.8's lines byte for byte where one is served, 2.6's fields else,
# and JSON that agrees with them; deferred removal.
# timeout: 300

. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup
need_target crypt
NAME=cli-status-$$
printf secret >"$SCRATCH/key"
NEWER=$("$LAB/newer-cryptsetup.sh" 2>/dev/null) || NEWER=
IMAGE=$(make_image 20M)
"$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$IMAGE" "$SCRATCH/key" || fail "format" "it failed"
LOOP=$(loop_of "$IMAGE")

# Both spellings of units without them.
plain() {
	sed -E 's/ \[(bits|bytes|512-byte units)\]//; s/ \([0-9]+ \[bytes\]\)$//; s/ (bits|sectors)$//'
}

same_text() {
	local name=$1 mapping=$2
	check_equal "$name: fields as 2.6 has them" "$(cryptsetup status "$mapping" | plain)" \
		"$("$CRYPTVOL" status "$mapping" | plain)"
	if [ -z "$NEWER" ]; then
		skip "$name: byte for byte as a newer one" "none is served here"
	else
		check_equal "$name: byte for byte as a newer one" "$("$NEWER" status "$mapping")" \
			"$("$CRYPTVOL" status "$mapping")"
	fi
}

# json NAME EXPRESSION: a Python expression over the object s holds
json() {
	"$CRYPTVOL" status --json "$NAME" >"$SCRATCH/json"
	check "$1" /usr/bin/python3 -c 'import json, sys
s = json.load(open(sys.argv[1]))
assert eval("(" + sys.argv[2] + ")"), s' "$SCRATCH/json" "$2"
}

open_it() {
	check "open $*" "$CRYPTVOL" open --key-file "$SCRATCH/key" "$@" "$LOOP" "$NAME"
}

same_text "inactive" "$NAME"
check_status "inactive" 4 "$CRYPTVOL" status "$NAME"
json "inactive: JSON" 's == {"name": "'"$NAME"'", "active": False}'

open_it
same_text "defaults" "$NAME"
same_text "by path" "/dev/mapper/$NAME"
UUID=$("$CRYPTVOL" luksUUID "$LOOP")
json "JSON" 's["active"] and not s["in_use"] and s["type"] == "LUKS2" and s["uuid"] == "'"$UUID"'" and
	s["cipher"] == "aes-xts-plain64" and s["key_size_bits"] == 512 and s["key_location"] == "keyring" and
	s["device"] == "'"$LOOP"'" and s["loop_file"] == "'"$IMAGE"'" and s["offset_bytes"] == 16777216 and
	s["size_bytes"] == 4194304 and s["flags"] == [] and not s["readonly"] and not s["key_kept"]'
exec 9<"/dev/mapper/$NAME"
same_text "in use" "$NAME"
json "in use: JSON" 's["in_use"]'
check_status "close while in use: 5" 5 "$CRYPTVOL" close "$NAME"
check "close later" "$CRYPTVOL" close --deferred "$NAME"
json "it waits" 's["deferred_remove"]'
check "stay after all" "$CRYPTVOL" close --cancel-deferred "$NAME"
json "it stays" 'not s["deferred_remove"]'
check "close later, again" "$CRYPTVOL" close --deferred "$NAME"
exec 9<&-
limit=$((SECONDS + 5))
while [ -e "/sys/block/dm-0" ] && dmsetup info "$NAME" >/dev/null 2>&1 && [ $SECONDS -lt $limit ]; do sleep 0.1; done
check_status "the last user closed it" 4 "$CRYPTVOL" status "$NAME"

open_it --readonly --allow-discards --perf-same_cpu_crypt --perf-submit_from_crypt_cpus
same_text "readonly, flags" "$NAME"
dmsetup suspend "$NAME"
same_text "suspended" "$NAME"
json "suspended: JSON" 's["suspended"] and s["readonly"] and
	s["flags"] == ["discards", "same_cpu_crypt", "submit_from_crypt_cpus"]'
dmsetup resume "$NAME"
check "close" "$CRYPTVOL" luksClose "$NAME"

open_it --perf-no_read_workqueue --perf-no_write_workqueue --disable-keyring
same_text "workqueues, key in the table" "$NAME"
check "close" "$CRYPTVOL" remove "/dev/mapper/$NAME"
open_it --keep-key
json "kept key: JSON" 's["key_kept"]'
check "close" "$CRYPTVOL" close "$NAME"

check "a mapping that isn't ours" dmsetup create "$NAME" --table "0 2048 linear $LOOP 0"
json "linear: JSON" 's["active"] and s["type"] != "LUKS2" and s["cipher"] == ""'
dmsetup remove "$NAME"
losetup -d "$LOOP"
nothing_left_behind "after all"
