#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Header backups: ours opened and restored by cryptsetup and the other way round, and what a restore refuses
# leaves the device as it was.

. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup mkfs.ext4 flock
EDIT=$ROOT/tests/cli/edit_header.py
cd "$SCRATCH" || exit 1

opens() {
	pass pw "$1" open --test-passphrase "${@:2}" -d -
}

# refused NAME SENTENCE DEVICE BACKUP: status 1, this sentence, not a byte changed
refused() {
	cp --sparse=always "$3" before
	"$CRYPTVOL" -q luksHeaderRestore "$3" --header-backup-file "$4" >said 2>&1
	check_equal "$1: status" 1 $?
	check "$1: said why" grep -q -e "$2" said
	check "$1: the device is as it was" cmp "$3" before
}

printf pw >pw.key && printf new >new.key
truncate -s 20M img && cryptsetup -q luksFormat "${FAST_KDF[@]}" img pw.key
check "backup" "$CRYPTVOL" luksHeaderBackup img --header-backup-file ours
check_equal "its mode and size" "400 16777216" "$(stat -c '%a %s' ours)"
check "the region byte for byte" cmp -n 16777216 ours img
check "cryptsetup opens with ours as a detached header" opens cryptsetup --header ours img
check "we open with ours as a detached header" opens "$CRYPTVOL" --header ours img
cryptsetup luksHeaderBackup img --header-backup-file theirs
check "we open with cryptsetup's as a detached header" opens "$CRYPTVOL" --header theirs img

cp img changed && cryptsetup -q luksChangeKey "${FAST_KDF[@]}" -d pw.key changed new.key
check_status "the passphrase was changed" 2 opens cryptsetup changed
cp changed again
check "cryptsetup restores ours" cryptsetup -q luksHeaderRestore changed --header-backup-file ours
check "the old passphrase opens again" opens cryptsetup changed
check "we restore cryptsetup's" "$CRYPTVOL" -q luksHeaderRestore again --header-backup-file theirs
check "the old passphrase opens again, ours" opens cryptsetup again
check "the device is as before the change" cmp again img

dd if=/dev/urandom of=again bs=1M count=2 conv=notrunc status=none
check "restored over a destroyed header" "$CRYPTVOL" -q luksHeaderRestore again --header-backup-file ours
check "it opens" opens cryptsetup again

# Something else was written over the primary copy, the secondary is whole. No recovery does away with what
# may be wanted: a restore is a person's word for it.
truncate -s 20M ext4 && mkfs.ext4 -q -F ext4
/usr/bin/python3 -c 'import struct
entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\xff\xff\xff", 2048, 8192)
open("mbr", "wb").write((bytes(446) + entry).ljust(510, b"\0") + b"\x55\xaa" + bytes(3584))'
for over in ext4 mbr; do
	for program in cryptsetup "$CRYPTVOL"; do
		cp img overwritten && dd if=$over of=overwritten bs=4096 count=1 conv=notrunc status=none
		check "${program##*/} restores where the primary copy is under $over" \
			"$program" -q luksHeaderRestore overwritten --header-backup-file ours
		check "${program##*/}: the device is as before $over" cmp overwritten img
	done
done

# Sectors that can't be read any more, though they can be written.
if command -v strace >/dev/null && strace -o trace true 2>/dev/null; then
	for error in EIO ENODATA; do
		cp changed unreadable
		check "restored where reads end with $error" strace -o trace -P "$PWD/unreadable" -e "inject=pread64:error=$error" \
			"$CRYPTVOL" -q luksHeaderRestore unreadable --header-backup-file ours
		check "reads ended with $error" grep -q "$error.*INJECTED" trace
		check "the device is as before $error" cmp unreadable img
	done
else
	skip "restored where reads fail" "strace can't be used here"
fi

# A reader's lock lets it read the header, not write: what is compared then has to be what is written over.
cp img raced
exec 9<>raced
flock -s 9
"$CRYPTVOL" -q luksHeaderRestore raced --header-backup-file ours 9>&- >said 2>&1 &
pid=$!
limit=$((SECONDS + 60))
until grep -q -- "-> FLOCK .* $pid " /proc/locks || [ $SECONDS -ge $limit ]; do sleep 0.05; done
check "a restore waits for a reader" grep -q -- "-> FLOCK .* $pid " /proc/locks
truncate -s 20M moved && cryptsetup -q luksFormat "${FAST_KDF[@]}" --offset 16384 moved pw.key
dd if=moved of=raced bs=1M conv=notrunc status=none
exec 9>&-
wait $pid
check_equal "a header of another shape came meanwhile: status" 1 $?
check "and it is left alone" cmp raced moved

truncate -s 20M other && cryptsetup -q luksFormat "${FAST_KDF[@]}" --offset 16384 other pw.key
refused "another data offset" "another data offset" other ours
truncate -s 20M sizes && cryptsetup -q luksFormat "${FAST_KDF[@]}" --luks2-keyslots-size 1M --offset 32768 sizes pw.key 2>/dev/null
refused "another metadata size" "another size" sizes ours
head -c 600K ours >short
refused "a backup cut in the keyslots" "too small" img short
cp ours unmet && /usr/bin/python3 "$EDIT" unmet 'j["config"]["requirements"]={"mandatory":["from-the-future"]}'
check_says "the requirement is in the backup" "from-the-future" "$CRYPTVOL" luksDump --dump-json-metadata unmet
refused "a backup with an unknown requirement" "from-the-future" img unmet
cp ours moving && cryptsetup reencrypt -q --init-only --force-offline-reencrypt "${FAST_KDF[@]}" --key-slot 0 \
	-d pw.key --header moving img >init 2>&1 || skip "re-encryption begun" "$(head -1 init)"
if cryptsetup luksDump moving | grep -q reencrypt; then
	refused "a backup with a re-encryption" "re-encryption" img moving
fi
truncate -s 1M small
refused "a device that is too small" "smaller than the header" small ours
refused "a backup that isn't there" "does not exist" img nowhere

# The question: a terminal is asked, "no" leaves all as it was.
if command -v script >/dev/null; then
	cp img before
	printf 'no\n' | script -qec "'$CRYPTVOL' luksHeaderRestore img --header-backup-file ours" /dev/null >said
	check "a terminal is asked" grep -q "Replacing header will destroy existing keyslots" said
	check "and may say no" grep -q "Operation aborted" said
	check "which leaves all as it was" cmp img before
fi
