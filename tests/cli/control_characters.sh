#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Control characters of a header reach neither the terminal nor a log: dump, UUID, refusals, with every text member hostile.
. "$(dirname "$0")/../lab/lib.sh"
need python3
cd "$SCRATCH" || exit 1
EDIT=$ROOT/tests/cli/edit_header.py
printf pw >key
truncate -s 20M img
"$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --label "grün" img key || fail "format"
check_says "UTF-8 is shown as it is" 'grün' "$CRYPTVOL" luksDump img

# clean NAME FILE: no byte of FILE controls a terminal but newline and tab
clean() {
	check "$1: there is output" [ -s "$2" ]
	check_equal "$1: no control character" "" "$(LC_ALL=C tr -d '\n\t\040-\176' <"$2" | LC_ALL=C grep -aoP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]' | od -An -tx1)"
}

# Each member in turn, so that one refusal doesn't hide the others.
BAD='\u001b[2J\u0007\u009b31m'
while IFS=$'\t' read -r name statement; do
	cp img edited
	python3 "$EDIT" edited "b = '$BAD'; $statement" || fail "$name: edit"
	for verb in luksDump luksUUID "open --test-passphrase -d key"; do
		read -ra words <<<"$verb"
		"$CRYPTVOL" "${words[@]}" edited >said 2>&1
		[ ! -s said ] || clean "$name: $verb" said
	done
done <<-'END'
	segment's cipher	j["segments"]["0"]["encryption"] = "aes" + b
	segment's type	j["segments"]["0"]["type"] = b
	segment's flags	j["segments"]["0"]["flags"] = [b]
	area's cipher	j["keyslots"]["0"]["area"]["encryption"] = b
	area's type	j["keyslots"]["0"]["area"]["type"] = b
	KDF	j["keyslots"]["0"]["kdf"]["type"] = b
	KDF's hash	j["keyslots"]["0"]["kdf"]["hash"] = b
	AF's hash	j["keyslots"]["0"]["af"]["hash"] = b
	keyslot's type	j["keyslots"]["0"]["type"] = b
	digest's type	j["digests"]["0"]["type"] = b
	digest's hash	j["digests"]["0"]["hash"] = b
	token's type	j["tokens"]["0"] = {"type": b, "keyslots": []}
	key description	j["tokens"]["0"] = {"type": "luks2-keyring", "keyslots": [], "key_description": b}
	flags	j["config"]["flags"] = [b]
	requirements	j["config"]["requirements"] = {"mandatory": [b]}
END
# Label and subsystem stand in the binary header.
cp img edited
printf 'x\033[2J' | dd of=edited bs=1 seek=24 conv=notrunc status=none
printf 'y\033[2J' | dd of=edited bs=1 seek=208 conv=notrunc status=none
dd if=/dev/zero of=edited bs=4096 seek=4 count=1 conv=notrunc status=none
python3 "$EDIT" edited pass
"$CRYPTVOL" luksDump edited >said 2>&1
clean "label and subsystem" said
check "label: escaped" grep -qF 'x\x1b[2J' said
check "subsystem: escaped" grep -qF 'y\x1b[2J' said
