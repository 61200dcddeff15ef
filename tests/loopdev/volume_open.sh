#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Open and close on a real kernel: what is mapped and how, who is refused, and that no refusal
# leaves a mapping, loop device, key or lock.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup keyctl blockdev
need_target crypt

NAME=vopen$$
table() { dmsetup table "$1"; }

IMAGE=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 512 "$IMAGE" -d - || fail "format"
uuid=$(cryptsetup luksUUID "$IMAGE")
LOOP=$(loop_of "$IMAGE")

# ---- names and keys ----
check "open" pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
check_equal "dm UUID" "CRYPT-LUKS2-${uuid//-/}-$NAME" "$(dmsetup info -c --noheadings -o uuid "$NAME")"
check_equal "table" "0 32768 crypt aes-xts-plain64 :64:logon:cryptsetup:$uuid-d0 0 ${LOOP#/dev/loop} 32768" \
	"$(table "$NAME" | sed 's/ 7:/ /')"
check_equal "no key in the process's keyrings afterwards" "" \
	"$(sed -n "/cryptsetup:$uuid/p" /proc/keys)"
check_says "cryptsetup sees it" "^ *type: *LUKS2" cryptsetup status "$NAME"
check_status "the name is taken: 5" 5 pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
check_status "the device is in use: 5" 5 pass secret "$CRYPTVOL" open "$LOOP" "$NAME-2" -d -
check_status "the image is in use through its loop device: 5" 5 \
	pass secret "$CRYPTVOL" open "$IMAGE" "$NAME-2" -d -
check "a test needs no claim" pass secret "$CRYPTVOL" open --test-passphrase "$LOOP" -d -
check_status "a failed test: 2" 2 pass wrong "$CRYPTVOL" open --test-passphrase "$LOOP" -d -
check "close" "$CRYPTVOL" close "$NAME"
check_status "close again: 4" 4 "$CRYPTVOL" close "$NAME"
nothing_left_behind "after refusals" "loop device over $IMAGE"

# ---- of two at once one at most ----
for i in 1 2 3 4; do
	pass secret "$CRYPTVOL" open "$LOOP" "$NAME-a" -d - 2>/dev/null &
	pass secret "$CRYPTVOL" open "$LOOP" "$NAME-b" -d - 2>/dev/null &
	wait
	n=$(dmsetup ls | grep -c "^$NAME-")
	[ "$n" -le 1 ] || fail "two opens at once" "both mapped $LOOP"
	for m in a b; do dmsetup info "$NAME-$m" >/dev/null 2>&1 && "$CRYPTVOL" close "$NAME-$m"; done
done
ok "two opens at once: never both"

# ---- parameters ----
check "read-only" pass secret "$CRYPTVOL" open --readonly "$LOOP" "$NAME" -d -
check_equal "the mapping is read-only" 1 "$(blockdev --getro "/dev/mapper/$NAME")"
"$CRYPTVOL" close "$NAME"
check "flags" pass secret "$CRYPTVOL" open --allow-discards --perf-no_read_workqueue "$LOOP" "$NAME" -d -
check_equal "flags in the table" "2 allow_discards no_read_workqueue" "$(table "$NAME" | cut -d' ' -f9-)"
"$CRYPTVOL" close "$NAME"
check "persistent flags" pass secret "$CRYPTVOL" open --persistent --allow-discards "$LOOP" "$NAME" -d -
"$CRYPTVOL" close "$NAME"
check_says "cryptsetup reads them" "Flags:.*allow-discards" cryptsetup luksDump "$LOOP"
check "open without naming them" pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
check_equal "they hold" "1 allow_discards" "$(table "$NAME" | cut -d' ' -f9-)"
"$CRYPTVOL" close "$NAME"
check "persistent without a flag takes it away" pass secret "$CRYPTVOL" open --persistent "$LOOP" "$NAME" -d -
check_says "cryptsetup sees that too" "Flags:.*no flags" cryptsetup luksDump "$LOOP"
"$CRYPTVOL" close "$NAME"
check "hex key" pass secret "$CRYPTVOL" open --disable-keyring "$LOOP" "$NAME" -d -
check_says "hex key in the table" " crypt aes-xts-plain64 [0-9a-f]{128} " dmsetup table --showkeys "$NAME"
"$CRYPTVOL" close "$NAME"

# ---- a long name: the dm UUID is cut where cryptsetup cuts it ----
long=$(printf '%0100d' 0)
check "a name of 100 characters" pass secret "$CRYPTVOL" open "$LOOP" "$long" -d -
ours=$(dmsetup info -c --noheadings -o uuid "$long")
"$CRYPTVOL" close "$long"
pass secret cryptsetup open "$LOOP" "$long" -d - 2>/dev/null
check_equal "its dm UUID is cryptsetup's" "$(dmsetup info -c --noheadings -o uuid "$long")" "$ours"
check "we close what cryptsetup opened" "$CRYPTVOL" close "$long"

# ---- close ----
pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
exec 9<"/dev/mapper/$NAME"
check_status "close in use: 5" 5 "$CRYPTVOL" close "$NAME"
check "close deferred" "$CRYPTVOL" close --deferred "$NAME"
check_equal "deferred: still there" 1 "$(dmsetup ls | grep -c "^$NAME")"
check "cancel it" "$CRYPTVOL" close --cancel-deferred "$NAME"
exec 9<&-
check_equal "cancelled: it stays after the last user" 1 "$(dmsetup ls | grep -c "^$NAME")"
exec 9<"/dev/mapper/$NAME"
"$CRYPTVOL" close --deferred "$NAME"
exec 9<&-
check_equal "deferred: it goes with the last user" 0 "$(dmsetup ls | grep -c "^$NAME")"
dmsetup create "$NAME-linear" --table "0 1024 linear $LOOP 0"
check_status "another's mapping is not closed" 1 "$CRYPTVOL" close "$NAME-linear"
check_equal "it is still there" 1 "$(dmsetup ls | grep -c "^$NAME-linear")"
dmsetup remove "$NAME-linear"

# ---- read-only and short devices ----
losetup -d "$LOOP"
LOOP=$(loop_of "$IMAGE" -r)
check "a read-only device maps read-only" pass secret "$CRYPTVOL" open "$LOOP" "$NAME" -d -
check_equal "its mapping is read-only" 1 "$(blockdev --getro "/dev/mapper/$NAME")"
"$CRYPTVOL" close "$NAME"
losetup -d "$LOOP"
BIG=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --sector-size 4096 "$BIG" -d -
truncate -s $((32 * 1024 * 1024 + 512)) "$BIG"
check_status "a data area of odd sectors is refused" 1 pass secret "$CRYPTVOL" open "$BIG" "$NAME" -d -
truncate -s 16M "$BIG"
check_status "no room for data is refused" 1 pass secret "$CRYPTVOL" open "$BIG" "$NAME" -d -

# ---- a null cipher only by name ----
NULL=$(make_image 32M)
empty_line=$'\n'
if pass "$empty_line" cryptsetup -q luksFormat --type luks2 -c null -s 128 "${FAST_KDF[@]}" "$NULL" 2>/dev/null; then
	check_says "a null cipher is refused" "cipher_null" pass "$empty_line" "$CRYPTVOL" open "$NULL" "$NAME"
	check_status "with an error" 1 pass "$empty_line" "$CRYPTVOL" open "$NULL" "$NAME"
	check_status "and is not mapped" 4 "$CRYPTVOL" status "$NAME"
else
	skip "a null cipher is refused" "cryptsetup makes none"
fi
nothing_left_behind "at the end"
