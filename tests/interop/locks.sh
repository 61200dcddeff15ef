#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# guest: -e CRYPTSETUP
# Both programs at one header at once: each adds keys in a loop, others come and go, a reader keeps
# looking. Afterwards no keyslot is lost, every key opens, both copies are good. On a block device
# (locks below /run/cryptsetup) and on an image file (the file itself is locked). Then each
# beside a third party that holds the lock, and one that heeds no lock.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need "$CRYPTSETUP"

KEYS=6 # of each
if [ -n "${FULL-}" ]; then KEYS=15; fi
printf 'first key' >"$SCRATCH/key"
for i in $(seq 0 31); do printf 'key of slot %s' "$i" >"$SCRATCH/key.$i"; done

# adds PROGRAM FIRST: keys into slots FIRST... one after the other. That another changed the header
# meanwhile is a fair answer, and the caller tries again.
adds() {
	local program=$1 first=$2 slot tries
	for slot in $(seq "$first" $((first + KEYS - 1))); do
		for tries in $(seq 1 30); do
			"$program" -q luksAddKey "${FAST_KDF[@]}" -S "$slot" --key-file "$SCRATCH/key" \
				"$TARGET" "$SCRATCH/key.$slot" >"$SCRATCH/added.$slot" 2>&1 && break
		done
		[ "$tries" != 30 ] || echo "slot $slot: $(tail -n 1 "$SCRATCH/added.$slot")" >>"$SCRATCH/refused"
	done
}

# passes PROGRAM: labels and priorities change meanwhile, header reads never fail
passes() {
	local program=$1 i
	for i in $(seq 1 $KEYS); do
		"$program" config "$TARGET" --label "label.$i" >/dev/null 2>&1
		"$program" luksDump --dump-json-metadata "$TARGET" >/dev/null 2>>"$SCRATCH/unread" ||
			echo "dump $i by $program" >>"$SCRATCH/unread"
	done
}

slots_of() {
	"$CRYPTSETUP" luksDump "$TARGET" | sed -n 's/^  \([0-9]*\): luks2.*/\1/p' | sort -n | tr '\n' ' '
}

# What can be wrong with a header after the storm; nothing is printed if nothing is.
losses() {
	local slot
	[ "$(slots_of)" = "0 $(seq -s ' ' 1 $((2 * KEYS))) " ] || echo "keyslots are: $(slots_of)"
	for slot in $(seq 1 $((2 * KEYS))); do
		"$CRYPTSETUP" open --test-passphrase -S "$slot" --key-file "$SCRATCH/key.$slot" "$TARGET" \
			>/dev/null 2>&1 || echo "slot $slot does not open"
	done
}

# copies: both copies of the metadata say the same (16 KiB each)
copies() {
	cmp <(dd if="$TARGET" bs=4096 skip=1 count=3 status=none) \
		<(dd if="$TARGET" bs=4096 skip=5 count=3 status=none)
}

storm() {
	local what=$1
	rm -f "$SCRATCH"/{refused,unread}
	check "$what: format" "$CRYPTSETUP" -q luksFormat --type luks2 "${FAST_KDF[@]}" -c aes-cbc-essiv:sha256 \
		-s 128 --luks2-metadata-size 16k --luks2-keyslots-size 2m --key-file "$SCRATCH/key" "$TARGET"
	adds "$CRYPTVOL" 1 &
	adds "$CRYPTSETUP" $((KEYS + 1)) &
	passes "$CRYPTVOL" &
	passes "$CRYPTSETUP" &
	wait
	check_equal "$what: no key was refused" "" "$(cat "$SCRATCH/refused" 2>/dev/null)"
	check_equal "$what: the header could be read at every moment" "" "$(cat "$SCRATCH/unread" 2>/dev/null)"
	check_equal "$what: nothing is lost" "" "$(losses)"
	check "$what: both copies are the same" copies
	check_equal "$what: both count the same keyslots" "$("$CRYPTSETUP" luksDump --dump-json-metadata "$TARGET")" \
		"$("$CRYPTVOL" luksDump --dump-json-metadata "$TARGET")"
}

# blocked PID: until the kernel lists this process among those that wait for a lock
blocked() {
	local limit=$((SECONDS + 60))
	until grep -q -- "-> FLOCK .* $1 " /proc/locks; do
		kill -0 "$1" 2>/dev/null && [ $SECONDS -lt $limit ] || return 1
		sleep 0.05
	done
}

label() {
	"$CRYPTSETUP" luksDump "$TARGET" | sed -n 's/^Label:[[:space:]]*//p'
}

subsystem() {
	"$CRYPTSETUP" luksDump "$TARGET" | sed -n 's/^Subsystem:[[:space:]]*//p'
}

# waits NAME PROGRAM LOCK KIND: while a third party holds the lock (flock's -x or -s), a writer waits
# and writes nothing; it goes on when the lock is free.
waits() {
	local name=$1 program=$2 lock=$3 before pid
	shift 3
	before=$(cksum <"$TARGET")
	mkdir -p /run/cryptsetup && chmod 700 /run/cryptsetup
	exec 9<>"$lock"
	flock "$@" 9
	"$program" config "$TARGET" --label "waiting" 9>&- &
	pid=$!
	check "$name: it waits for the lock" blocked $pid
	check_equal "$name: nothing is written meanwhile" "$before" "$(cksum <"$TARGET")"
	exec 9>&-
	wait $pid
	check_equal "$name: it goes on when the lock is free" "0 waiting" "$? $(label)"
	"$program" config "$TARGET" --label ""
}

# overtaken PROGRAM LOCK WANTED: a reader's lock lets a writer read the header, and then it waits. One that
# heeds no lock writes meanwhile: what it wrote stays. cryptsetup's change is refused, for it would undo what
# it has never seen; ours is made in what stands there by then.
overtaken() {
	local name=${1##*/} program=$1 pid
	mkdir -p /run/cryptsetup && chmod 700 /run/cryptsetup
	exec 9<>"$2"
	flock -s 9
	"$program" config "$TARGET" --label "too late" 9>&- 2>"$SCRATCH/overtaken" &
	pid=$!
	check "$name, overtaken: it waits for the lock" blocked $pid
	check "control: without locks none waits" timeout 60 \
		"$CRYPTVOL" config --disable-locks "$TARGET" --label "before" --subsystem "not waiting" 9>&-
	exec 9>&-
	wait $pid
	check_equal "$name, overtaken: the other's change stays" "$3" "$? $(label) $(subsystem)"
	cat "$SCRATCH/overtaken"
}

TARGET=$(make_loop 4M)
storm "block device"
NUMBER=$(cat "/sys/block/${TARGET#/dev/}/dev")
for program in "$CRYPTVOL" "$CRYPTSETUP"; do
	waits "${program##*/} on a block device, lock of a writer" "$program" "/run/cryptsetup/L_$NUMBER" -x
	waits "${program##*/} on a block device, lock of a reader" "$program" "/run/cryptsetup/L_$NUMBER" -s
done
overtaken "$CRYPTVOL" "/run/cryptsetup/L_$NUMBER" "0 too late not waiting"
overtaken "$CRYPTSETUP" "/run/cryptsetup/L_$NUMBER" "1 before not waiting"
check "the lock's folder is ours alone" test "$(stat -c %a /run/cryptsetup)" = 700
check_equal "no lock file stays" "" "$(ls /run/cryptsetup)"
losetup -d "$TARGET"

TARGET=$(make_image 4M)
storm "image file"
waits "${CRYPTVOL##*/} on an image file" "$CRYPTVOL" "$TARGET" -x
nothing_left_behind "after all"
