#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
# Every writer of the luks room: all states that a power cut can leave, judged; then the same with a planted
# wrong order, which has to be caught. Images are made by cryptsetup. FULL=1: ten times the samples.
set -u

TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/obj}
RECORD=$BUILD/crash/record
CHECK=$BUILD/crash/crashcheck
SIZE=$((1 << 20))
SAMPLES=10000
[ -z "${FULL:-}" ] || SAMPLES=100000
PLANT_SAMPLES=300
ORACLE=${FULL:+64}
ONLY=${1:-}
failed=0

command -v cryptsetup >/dev/null || { echo "SKIP crash: no cryptsetup"; exit 77; }
DIR=$(mktemp -d)
trap 'rm -rf "$DIR"' EXIT
export TMPDIR=$DIR

# ---- images, made by cryptsetup: passphrases as crashcheck knows them ----
CHEAP=(-q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-slot)
# Its warnings only where it fails.
quiet() {
	"$@" >"$DIR/said" 2>&1 && return
	cat "$DIR/said" >&2
	kill $$
}
blank() { truncate -s 0 "$1" && truncate -s $SIZE "$1"; }
luks2() { # IMAGE HEADER_KIB FIRST [OTHER...]; with room for $AREAS keyslots, or 3
	local image=$1 kib=$2 slot=0 first=$3 pass area_kib=$((${AREAS:-3} * 128))
	blank "$image"
	shift 3
	printf %s "$first" | quiet cryptsetup luksFormat --type luks2 "${CHEAP[@]}" 0 -s 256 --luks2-metadata-size "${kib}k" \
		--luks2-keyslots-size "${area_kib}k" --offset $(((kib * 2 + area_kib) * 2)) --key-file - "$image"
	for pass in "$@"; do
		slot=$((slot + 1))
		printf %s "$pass" >"$DIR/pass"
		printf %s "$first" | quiet cryptsetup luksAddKey "${CHEAP[@]}" $slot --key-file - "$image" "$DIR/pass"
	done
}
sector() { # SRC SECTOR DST SECTOR COUNT
	dd if="$1" of="$3" bs=512 skip="$2" seek="$4" count="$5" conv=notrunc status=none
}
make_image() {
	case $1 in
	blank) blank "$2" ;;
	random) blank "$2"; head -c $SIZE /dev/urandom >"$2" ;;
	old16) luks2 "$2" 16 old ;;
	old64) luks2 "$2" 64 old ;;
	old16torn) luks2 "$2" 16 old; sector /dev/zero 0 "$2" 3 3 ;;
	# An old header of 16 KiB, and the intact secondary of an even older one of 256 KiB.
	old16stray) luks2 "$DIR/stray" 256 stray; luks2 "$2" 16 old; sector "$DIR/stray" 512 "$2" 512 512 ;;
	# The secondary alone, and a stray one behind it.
	old16second) luks2 "$DIR/stray" 256 stray; luks2 "$2" 16 old; sector "$DIR/stray" 512 "$2" 512 512
		sector /dev/zero 0 "$2" 0 1 ;;
	luks1) blank "$2"; printf old | quiet cryptsetup luksFormat --type luks1 -q --pbkdf-force-iterations 1000 \
		-c aes-cbc-essiv:sha256 -s 128 --key-file - --offset 1032 "$2" ;;
	two) luks2 "$2" 16 keep old ;;
	revoked) luks2 "$2" 16 keep revoked old ;;
	# Gaps below and above the keyslot that is going to be changed: what comes next need not take its old place.
	gaps) AREAS=6 luks2 "$2" 16 keep x y old; for slot in 1 2; do printf keep | quiet cryptsetup luksKillSlot -q -d - "$2" $slot; done ;;
	full) luks2 "$2" 16 keep old revoked ;;
	stale) luks2 "$2" 16 keep old; cp "$2" "$DIR/before"; quiet cryptsetup config --label new "$2"
		sector "$DIR/before" 32 "$2" 32 32 ;;
	torn) luks2 "$2" 16 keep old; sector /dev/zero 0 "$2" 8 2 ;;
	esac
}

# ---- one writer, on one image, under one contract ----
run() { # CONTRACT VERB IMAGE SAMPLES RECORD-OPTIONS -- CHECK-OPTIONS
	local contract=$1 verb=$2 image=$3 samples=$4 options=()
	shift 4
	while [ "${1:---}" != -- ]; do options+=("$1"); shift; done
	shift
	[ -e "$DIR/$image.base" ] || make_image "$image" "$DIR/$image.base"
	cp "$DIR/$image.base" "$DIR/image"
	"$RECORD" "${options[@]}" "$verb" "$DIR/image" "$DIR/log" || return 2
	python3 "$TOP/tests/lab/logreplay.py" states "$DIR/log" --size $SIZE --base "$DIR/$image.base" \
		--samples "$samples" 2>"$DIR/replay" | "$CHECK" "$@" "$contract" 2>"$DIR/why"
}

# good NAME CONTRACT VERB IMAGE [RECORD-OPTIONS] -- [CHECK-OPTIONS]: no state may be bad
good() {
	local name=$1 out status
	shift
	[ -z "$ONLY" ] || [[ $name == *$ONLY* ]] || return
	out=$(run "$1" "$2" "$3" "$SAMPLES" "${@:4}" -o "${ORACLE:-6}")
	status=$?
	echo "# $name: $out"
	if [ $status = 0 ]; then echo "ok crash: $name"; else
		echo "FAIL crash: $name: $(head -c 400 "$DIR/why" | tr '\n' ';')"
		failed=1
	fi
}

# planted NAME PLANT CONTRACT VERB IMAGE [RECORD-OPTIONS] -- [CHECK-OPTIONS]: some state has to be bad
planted() {
	local name=$1 plant=$2 out status
	shift 2
	[ -z "$ONLY" ] || [[ $name == *$ONLY* ]] || return
	out=$(run "$1" "$2" "$3" "$PLANT_SAMPLES" -p "$plant" "${@:4}")
	status=$?
	echo "# $name, planted $plant: $out"
	if [ $status = 1 ]; then echo "ok crash: $name, planted $plant is caught"; else
		echo "FAIL crash: $name, planted $plant isn't caught: $(head -c 400 "$DIR/why" | tr '\n' ';')"
		failed=1
	fi
}

good "format, blank device" format-blank format-blank blank --
good "format, blank device not known to be" format-blank format blank --
good "format, blank device, metadata of 64 KiB" format-blank format-blank blank -H 65536 --
good "format over random bytes" format format random --
good "format over an old header of the same size" format format old16 --
good "format 16 KiB over 64 KiB" format format old64 --
good "format 64 KiB over 16 KiB" format format old16 -H 65536 --
good "format over a torn primary" format format old16torn --
good "format over a header and a stray secondary" format format old16stray --
good "format over a secondary and a stray one" format format old16second --
good "format over LUKS1" format format luks1 -- -1
good "add" add add two --
good "change" change change two --
good "change, and what comes after a cut" change change gaps -- -f 300
good "add, and what comes after a cut" add add gaps --
good "change, forced in place" change-forced change-forced full --
good "kill" kill kill revoked --
good "erase" erase erase two --
good "labels" same labels two --
good "UUID" same uuid two --
good "flags" same flags two --
good "priority" same priority two --
good "recovery of a stale secondary" same recover stale --
good "recovery of a torn primary" same recover torn --

planted "format, blank device" late:1 format-blank format-blank blank --
planted "format, blank device" drop:1 format-blank format-blank blank --
planted "format over an old header" drop:1 format format old16 --
planted "format over an old header" late:1 format format old16 --
planted "format over an old header" drop:2 format format old64 --
planted "format over a stray secondary" drop:1 format format old16stray --
planted "format over LUKS1" drop:1 format format luks1 -- -1
planted "add" late:1 add add two --
planted "add" drop:1 add add two --
planted "change" late:1 change change two --
planted "change" early:4 change change two --
planted "change" drop:1 change change two --
planted "kill" late:1 kill kill revoked --
planted "kill" drop:1 kill kill revoked --
planted "erase" late:1 erase erase two --
planted "labels" drop:1 same labels two --
planted "UUID" drop:1 same uuid two --
planted "flags" drop:1 same flags two --
planted "priority" drop:1 same priority two --

exit $failed
