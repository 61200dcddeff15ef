#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# A write of the header fails (strace answers the call with EIO): what is said is what is on disk, and cryptsetup
# is the judge. A change that is made opens with its new key; one that isn't leaves the header as it was; the
# next command that writes, or repair, puts both copies in order.
. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup strace
strace -qq -o /dev/null true 2>/dev/null || skip_all "strace may not trace here"
for name in one two three; do printf %s $name >"$SCRATCH/$name"; done
IMAGE=$SCRATCH/image

# fails NAME CALLS STATUS SENTENCE COMMAND...: with these calls (strace's "inject") answered by EIO
fails() {
	local name=$1 calls=$2 sentence=$3
	shift 3
	strace -qq -f -o /dev/null -e "inject=${calls/:/:error=EIO:}" "$@" >"$SCRATCH/said" 2>&1
	check_equal "$name: status" 1 $?
	check_says "$name: says what is on disk" "$sentence" cat "$SCRATCH/said"
}

opens() {
	"$1" open --test-passphrase --key-file "$SCRATCH/$2" "$IMAGE" 2>/dev/null
}

# The header as cryptsetup reads it, and whether both copies hold the same metadata.
dump() {
	"$CRYPTSETUP" luksDump --dump-json-metadata "$IMAGE" | cksum
}
copies() {
	cmp -s <(dd if="$IMAGE" bs=4096 skip=1 count=3 status=none) <(dd if="$IMAGE" bs=4096 skip=5 count=3 status=none)
}
add() {
	fails "$1" "$2" "$3" "$CRYPTVOL" -q luksAddKey "${FAST_KDF[@]}" --key-file "$SCRATCH/one" "$IMAGE" "$SCRATCH/two"
}
afresh() {
	cp --sparse=always "$SCRATCH/fresh" "$IMAGE"
}

truncate -s 20M "$SCRATCH/fresh"
"$CRYPTSETUP" -q luksFormat --type luks2 "${FAST_KDF[@]}" --key-file "$SCRATCH/one" "$SCRATCH/fresh" || exit 1

# One write of the area and a flush; three writes and a flush of the first copy; the same of the second.
afresh
before=$(dump)
add "the area" pwrite64:when=1 "keyslot area: writing"
check_equal "the area: the header is as it was" "$before" "$(dump)"
check "the area: in both copies" copies

for calls in pwrite64:when=2 pwrite64:when=3 pwrite64:when=4 fsync:when=2; do
	afresh
	add "first copy, $calls" $calls "the header is as it was"
	check_equal "first copy, $calls: it is" "$before" "$(dump)"
	check "first copy, $calls: in both copies" copies
	check_status "first copy, $calls: the new key doesn't open" 2 opens "$CRYPTSETUP" two
done

afresh
add "first copy, for good" pwrite64:when=3+ "it isn't known whether the header is changed"
check "first copy, for good: the old key opens" opens "$CRYPTVOL" one
check "first copy, for good: repair" "$CRYPTVOL" -q repair "$IMAGE"
check "first copy, for good: both copies are the same" copies
check_equal "first copy, for good: it is the old header" "$before" "$(dump)"

for calls in pwrite64:when=5 pwrite64:when=6 pwrite64:when=7 pwrite64:when=5+ fsync:when=3; do
	afresh
	add "second copy, $calls" $calls "the change is made, but only in the first copy"
	for program in "$CRYPTVOL" "$CRYPTSETUP"; do
		check "second copy, $calls: ${program##*/}: the new key opens" opens "$program" two
		check "second copy, $calls: ${program##*/}: the old key opens" opens "$program" one
	done
	check "second copy, $calls: the next change" "$CRYPTVOL" config --label x "$IMAGE"
	check "second copy, $calls: both copies are the same" copies
done

# A changed passphrase: whoever reads the sentence knows which one opens.
afresh
fails "change" pwrite64:when=6 "the change is made, but only in the first copy" \
	"$CRYPTVOL" -q luksChangeKey "${FAST_KDF[@]}" --key-file "$SCRATCH/one" "$IMAGE" "$SCRATCH/three"
check "change: the new key opens" opens "$CRYPTSETUP" three
check_status "change: the old one doesn't" 2 opens "$CRYPTSETUP" one
afresh
fails "change, wipe" pwrite64:when=8 "the change is made, but old key material is left" \
	"$CRYPTVOL" -q luksChangeKey "${FAST_KDF[@]}" --key-file "$SCRATCH/one" "$IMAGE" "$SCRATCH/three"
check "change, wipe: the new key opens" opens "$CRYPTSETUP" three
check "change, wipe: both copies are the same" copies
