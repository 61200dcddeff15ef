#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One command line, two programs, on two copies of one image: lines.tsv says what has to be equal.
# timeout: 600

. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup mkfs.ext4
TABLE=$ROOT/tests/cli/lines.tsv
cd "$SCRATCH" || exit 1

# What 2.6.1 says besides, and newer ones don't.
NOISE='/^No usable token is available\.$/d; /^WARNING: The --key-slot parameter is used for new keyslot number\.$/d'

prepare() {
	local format=(cryptsetup -q luksFormat "${FAST_KDF[@]}" --luks2-keyslots-size 1M --offset 4096 --sector-size 512)
	printf pw >pw.key && printf 'pw\n' >pwnl.key && printf new >new.key && printf other >other.key
	printf bad >bad.key && printf xxpwzz >pad.key && : >empty.key && truncate -s 8388609 huge.key
	truncate -s 4M one && "${format[@]}" one pw.key 2>/dev/null
	cp one img && cryptsetup luksAddKey -q "${FAST_KDF[@]}" -d pw.key img new.key
	cp img unbound && cryptsetup luksAddKey -q "${FAST_KDF[@]}" -S 5 --unbound --key-size 128 unbound other.key
	cryptsetup -q luksDump --dump-volume-key -d pw.key --volume-key-file vk.bin img >/dev/null
	head -c 64 /dev/zero >bad.vk
	cp one last && python3 "$ROOT/tests/cli/edit_header.py" last 'copies = (copies[:16] + b"\xff" * 8 +
		copies[24:COPY_BYTES + 16] + b"\xff" * 8 + copies[COPY_BYTES + 24:])'
	truncate -s 4M luks1 &&
		cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 luks1 pw.key
	truncate -s 20M blank
	cryptsetup luksHeaderBackup one --header-backup-file one.header
	cryptsetup luksHeaderBackup luks1 --header-backup-file luks1.header
	head -c 600K one.header >short.header
	cp --sparse=always blank ext4 && mkfs.ext4 -q -F ext4
}

# The header without what is drawn at random, and without what follows from the order of writes: how
# many they were, and in which gap an area lies.
header() {
	cryptsetup luksDump "$1" 2>&1 | sed -E '/^UUID:|^Epoch:|Area offset:|Salt:|Digest:|^\t +[0-9a-f]{2} /d'
}

# run_one PROGRAM SUFFIX STDIN ARGUMENTS...: its own copy; leaves status.SUFFIX, out.SUFFIX, err.SUFFIX
run_one() {
	local program=$1 suffix=$2 input=$3 word name
	local -a words=()
	shift 3
	for word; do
		case $word in
		{*})
			name=${word#\{} name=${name%\}}
			cp --sparse=always "$name" "$name.copy"
			COPY=$name.copy
			words+=("$COPY")
			;;
		KDF) words+=("${FAST_KDF[@]}") ;;
		*) words+=("$word") ;;
		esac
	done
	rm -f out.vk out.header
	[ "$input" != - ] || input=
	# shellcheck disable=SC2059
	printf "$input" | timeout 60 "$program" "${words[@]}" >"out.$suffix" 2>"err.$suffix"
	echo $? >"status.$suffix"
	[ ! -e out.vk ] || od -An -tx1 out.vk >>"out.$suffix"
	[ ! -e out.header ] || sha256sum out.header >>"out.$suffix"
	[ -z "$COPY" ] || if cmp -s "$name" "$COPY"; then echo unchanged; else header "$COPY"; fi >"header.$suffix"
}

differs() {
	local want=$1
	cmp -s status.a status.b || { echo "status $(<status.b), not $(<status.a): $(<err.b)" && return; }
	[ "$want" = code ] || diff out.a out.b || return
	[ "$want" != same ] || diff err.a err.b
}

judge() {
	local name=$1 want=$2 why= text
	[ -z "$COPY" ] || [ "$want" != "${want%\~}" ] || why=$(diff header.a header.b)
	want=${want%\~}
	case $want in
	ours=*)
		want=${want#ours=} text=${want#* }
		[ "$text" != "$want" ] || text=
		why=
		[ "$(<status.b)" = "${want%% *}" ] || why="status $(<status.b), not ${want%% *}"
		[ -z "$text" ] || grep -qF -e "$text" err.b || why="not said: $text"
		[ "$(<status.a)" != "$(<status.b)" ] || why="cryptsetup's status is the same now"
		;;
	*) [ -n "$why" ] || why=$(differs "$want") ;;
	esac
	if [ -z "$why" ]; then ok "$name"; else fail "$name" "$(head -c 600 <<<"$why" | tr '\n' ' ')"; fi
}

prepare
while IFS=$'\t' read -r want input line; do
	case $want in '' | \#*) continue ;; esac
	read -ra words <<<"$line"
	COPY=
	run_one cryptsetup a "$input" "${words[@]}" && sed -i "$NOISE" out.a err.a
	run_one "$CRYPTVOL" b "$input" "${words[@]}"
	judge "[$input] ${line:-(none)}" "$want"
done <"$TABLE"
