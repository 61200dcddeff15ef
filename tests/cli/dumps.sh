#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# luksDump as text and as JSON, byte for byte as stock cryptsetup prints it: the installed one, and a newer
# one where it is served.

. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup
HERE=$ROOT/tests/cli
cd "$SCRATCH" || exit 1

ORACLES=(cryptsetup)
newer=$("$LAB/newer-cryptsetup.sh" 2>newer) && ORACLES+=("$newer") ||
	skip "compared with a newer cryptsetup" "$(tail -n 1 newer)"

same_layout() {
	/usr/bin/python3 -c 'import json, sys
text, _, status = sys.stdin.read().rpartition("status")
print(json.dumps(json.loads(text), indent=1) if text.startswith("{") else text, status)' <"$1" >"$1.json" &&
		mv "$1.json" "$1"
}

# The path is part of a LUKS1 dump, so both get the same file.
compare_with() {
	local oracle=$1 name=$2 file=$3 option
	for option in "" --dump-json-metadata; do
		"$oracle" luksDump ${option:+"$option"} "$file" >wanted 2>&1
		echo "status $?" >>wanted
		"$CRYPTVOL" luksDump ${option:+"$option"} "$file" >found 2>&1
		echo "status $?" >>found
		# Newer json-c has another layout for empty objects.
		[ -z "$option" ] || [ "$oracle" = cryptsetup ] || { same_layout wanted && same_layout found; }
		if cmp -s wanted found; then
			ok "$name${option:+ $option}"
		else
			fail "$name${option:+ $option}" "$(diff wanted found | head -8 | tr '\n' ' ')"
		fi
	done
}

compare() {
	local oracle
	for oracle in "${ORACLES[@]}"; do
		case $oracle:$1 in cryptsetup:new:*) continue ;; esac
		"$oracle" luksDump "$2" >/dev/null 2>&1 || fail "$1" "$oracle doesn't take this header"
		compare_with "$oracle" "$1$([ "$oracle" = cryptsetup ] || echo ', newer')" "$2"
	done
}

make() {
	truncate -s "$1" "$2" && cryptsetup -q luksFormat "${FAST_KDF[@]}" "${@:3}" "$2" pw.key
}

printf pw >pw.key && printf new >new.key
make 20M plain
cryptsetup -q luksAddKey "${FAST_KDF[@]}" -d pw.key plain new.key
compare "defaults" plain
make 20M labels --label label --subsystem 'a subsystem' --hash sha512 --sector-size 512
compare "labels, sha512" labels
make 20M sizes --luks2-metadata-size 64k --luks2-keyslots-size 1M
compare "sizes" sizes
make 20M luks1 --type luks1 --pbkdf-force-iterations 1234
compare "LUKS1" luks1
cryptsetup -q luksAddKey --pbkdf-force-iterations 2345 -d pw.key luks1 new.key
cryptsetup -q luksKillSlot -d new.key luks1 0
compare "LUKS1, other keyslot" luks1
cp plain erased && cryptsetup -q erase erased
compare "no keyslots" erased
cp plain unbound && cryptsetup -q luksAddKey "${FAST_KDF[@]}" --unbound --key-size 128 unbound new.key
compare "unbound keyslot" unbound
cp plain moving && cryptsetup reencrypt -q --init-only --force-offline-reencrypt "${FAST_KDF[@]}" \
	--key-slot 0 -d pw.key moving >init 2>&1 || skip "re-encryption begun" "$(head -1 init)"
compare "re-encryption begun" moving

while IFS=$'\t' read -r name change; do
	case $name in '' | \#*) continue ;; esac
	cp plain edited
	/usr/bin/python3 "$HERE/edit_header.py" edited "$change" || fail "$name" "the edit failed"
	compare "$name" edited
done <"$HERE/dumps.tsv"
