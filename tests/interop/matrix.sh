#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1500
# guest: -e CRYPTSETUP -e CRYPTSETUP2
# Interop on a real kernel, both ways, for the rows of matrix.tsv (all of them with FULL=1): one
# program formats, opens and writes, the other opens, and the plaintext is the same in every block;
# each sees, resizes and closes what the other opened; the metadata are the same. A newer cryptsetup
# (CRYPTSETUP2, or the one that `make newer-cryptsetup` found) is a second oracle for the same.
. "$(dirname "$0")/../lab/lib.sh"
HERE=$(dirname "$(readlink -f "$0")")
need_root
need "$CRYPTSETUP" cmp blockdev
need_target crypt

SIZE_MIB=4
PASSPHRASE="pass phrase of the matrix"
printf '%s' "$PASSPHRASE" >"$SCRATCH/key"
printf 'another\nkey\0file' >"$SCRATCH/key2"
PATTERN=$SCRATCH/pattern
/usr/bin/python3 -c 'import hashlib,sys
sys.stdout.buffer.write(hashlib.shake_128(b"pattern").digest(40 << 20))' >"$PATTERN"

# Areas as small as the format allows: wiping and reading 16 MiB each time is not the subject.
small_areas() {
	case $1 in *--luks2-metadata-size*) ;; *) echo --luks2-metadata-size 16k ;; esac
	echo --luks2-keyslots-size 512k
}

# row_args: FORMAT, OPEN (WRITABLE, to fill it) and DEVICE for one row and one way
row_args() {
	local name=$1 format=$2 open=$3 extras=$4
	IFS=' ' read -ra FORMAT <<<"$format"
	OPEN=()
	[ "$open" = - ] || IFS=' ' read -ra OPEN <<<"$open"
	IFS=' ' read -ra WRITABLE <<<"${OPEN[*]/--readonly/}"
	case $format in *--pbkdf\ *) ;; *) FORMAT+=("${FAST_KDF[@]}") ;; esac
	case $format in *--sector-size*) ;; *) FORMAT+=(--sector-size 512) ;; esac
	local data=$SCRATCH/$name.data extra=33 # MiB of headers at the most
	case $extras in *default*) ;; *)
		# shellcheck disable=SC2046,SC2206
		FORMAT+=($(small_areas "$format"))
		extra=9
		;;
	esac
	rm -f "$data" "$SCRATCH/$name.header"
	truncate -s $((extra + SIZE_MIB))M "$data"
	DEVICE=("$data") HEADER=() READ="$data"
	case $extras in *loop*) DEVICE=("$(loop_of "$data")") READ=${DEVICE[0]} ;; esac
	case $extras in *detached*)
		READ=$SCRATCH/$name.header
		truncate -s 20M "$READ"
		HEADER=(--header "$READ")
		;;
	esac
}

MAPPING() { echo "/dev/mapper/m"; }

write_pattern() {
	local size
	size=$(blockdev --getsize64 "$(MAPPING)") &&
		head -c "$size" "$PATTERN" | dd of="$(MAPPING)" bs=1M conv=fsync iflag=fullblock status=none
}

same_plaintext() {
	local size
	size=$(blockdev --getsize64 "$(MAPPING)") && [ "$size" -ge $((SIZE_MIB << 20)) ] &&
		cmp -n "$size" "$PATTERN" "$(MAPPING)"
}

# later KIND SITUATION FILE FILE NAME: a comparison to be made at the end, all by one program
later() {
	(IFS=$'\t' && echo "$*") >>"$SCRATCH/comparisons"
}

# one_way A B WAY ROW...: A formats and writes, B reads; A looks at what B opened, resizes, closes it.
one_way() {
	local a=$1 b=$2 way=$3 name=$4 format=$5 open=$6 extras=$7 key=$SCRATCH/key
	local label="$name: $way$WITH" out=$KEPT/$name.$way
	row_args "$name" "$format" "$open" "$extras"
	check "$label: format" "$a" -q luksFormat --type luks2 "${FORMAT[@]}" "${HEADER[@]}" \
		--key-file "$key" "${DEVICE[@]}" || return
	check "$label: open by the one that formatted" "$a" open "${WRITABLE[@]}" "${HEADER[@]}" \
		 --key-file "$key" "${DEVICE[@]}" m || return
	write_pattern || fail "$label: write" "the pattern was not written"
	check "$label: the other closes" "$b" close m
	case $extras in *keys*)
		check "$label: the other adds a key" "$b" -q luksAddKey "${FAST_KDF[@]}" -S 1 \
			--key-file "$key" "$READ" "$SCRATCH/key2"
		key=$SCRATCH/key2
		;;
	esac
	check "$label: the other opens" "$b" open "${OPEN[@]}" "${HEADER[@]}" \
		--key-file "$key" "${DEVICE[@]}" m || return
	check "$label: every block is the same" same_plaintext
	same_status "$label" "$out"
	case $extras$FULL in *resize* | *1*) resized "$label" "$a" "$b" "$key" ;; esac
	check "$label: the first closes" "$a" close m
	same_reading "$label" "$out"
}

same_status() {
	"$CRYPTVOL" status "${HEADER[@]}" m >"$2.status.ours" 2>&1
	"$ORACLE" status "${HEADER[@]}" m >"$2.status.theirs" 2>&1
	later status same "$2.status.ours" "$2.status.theirs" "$1: status says the same"
}

# A mapping that the other opened is shrunk and grown again; both see its size.
resized() {
	local label=$1 a=$2 b=$3 key=$4 whole
	whole=$(blockdev --getsz "$(MAPPING)")
	check "$label: shrink what the other opened" \
		"$a" resize "${HEADER[@]}" --size 2048 --key-file "$key" m
	check_equal "$label: its size" 2048 "$(blockdev --getsz "$(MAPPING)")"
	check_says "$label: the other sees it" '^ *size: *2048 ' "$b" status m
	check "$label: grow it again" "$a" resize "${HEADER[@]}" --key-file "$key" m
	check_equal "$label: its whole size" "$whole" "$(blockdev --getsz "$(MAPPING)")"
	check "$label: every block after resizing" same_plaintext
}

# Two readings of one header have no difference.
same_reading() {
	local label=$1 out=$2
	"$CRYPTVOL" luksDump --dump-json-metadata "$READ" >"$out.json" 2>"$out.json.err"
	"$ORACLE" luksDump --dump-json-metadata "$READ" >"$out.json.theirs"
	later json same "$out.json" "$out.json.theirs" "$label: both read the same metadata"
	"$CRYPTVOL" luksDump "$READ" >"$out.dump"
	"$ORACLE" luksDump "$READ" >"$out.dump.theirs"
	later dump same "$out.dump" "$out.dump.theirs" "$label: luksDump says the same"
}

row() {
	local name=$1
	one_way "$CRYPTVOL" "$ORACLE" ours "$@"
	drop_row "$name"
	one_way "$ORACLE" "$CRYPTVOL" theirs "$@"
	drop_row "$name"
	later json alike "$KEPT/$name.ours.json" "$KEPT/$name.theirs.json" \
		"$name: formatted by either$WITH, the metadata are alike"
}

# What a failure left, and the loop device that we made ourselves.
drop_row() {
	[ ! -e "$(MAPPING)" ] || dmsetup remove m
	case ${DEVICE[0]} in /dev/loop*) losetup -d "${DEVICE[0]}" ;; esac
	rm -f "$SCRATCH/$1".*
}

# rows SET ARGUMENT...: the rows of one of "ci", "newer" or "full" (all), or those named
rows() {
	local set=$1 name of format open extras
	shift
	mkdir "$KEPT"
	while IFS=$'\t' read -r name of format open extras; do
		case $name in '#'* | '') continue ;; esac
		[ $set = full ] || [[ ,$of, = *,$set,* ]] || continue
		[ $# = 0 ] || [[ " $* " = *" $name "* ]] || continue
		row "$name" "$format" "$open" "$extras"
	done <"$HERE/matrix.tsv"
}

FULL=${FULL:+1}
ORACLE=$CRYPTSETUP KEPT=$SCRATCH/kept WITH=
rows "$([ -n "$FULL" ] && echo full || echo ci)" "$@"

NEWER=${CRYPTSETUP2-$(cat "$BUILD/newer-cryptsetup" 2>/dev/null)}
if [ -n "$NEWER" ]; then
	ORACLE=$NEWER KEPT=$SCRATCH/kept-newer WITH=", $("$NEWER" --version | cut -d' ' -f1,2)"
	check "the newer cryptsetup is another one" test "$("$NEWER" --version)" != "$("$CRYPTSETUP" --version)"
	rows "$([ -n "$FULL" ] && echo full || echo newer)" "$@"
fi

while read -r line; do
	case $line in ok\ *) ok "${line#ok }" ;; *) line=${line#FAIL } && fail "${line%%: *}" "${line#*: }" ;; esac
done < <("$HERE/compare.py" "$SCRATCH/comparisons")
nothing_left_behind "after the matrix"
