#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys in the kernel's keyring: for a call, and kept with a mapping, to grow it with no passphrase.
. "$(dirname "$0")/../lab/lib.sh"
. "$ROOT/tests/loopdev/keeper.bash"
need_root
need dmsetup losetup keyctl
need_target crypt
PROBE=$BUILD/loopdev/dm_probe
[ -x "$PROBE" ] || skip_all "there is no $PROBE"

export DM_DISABLE_UDEV=1

loop=$(make_loop 16M) loop2=$(make_loop 16M)
dev=$(number "$loop") dev2=$(number "$loop2")
a=cvkr$$-a b=cvkr$$-b
description=cryptsetup:11111111-2222-3333-4444-555555555555-d0
key1=$(printf '1%.0s' {1..128}) key2=$(printf '2%.0s' {1..128})
table="0 4096 crypt aes-xts-plain64 :64:logon:$description 0"

# the ciphertext of zeros in sectors $2.. of a mapping, read below it
fingerprint() {
	dd if=/dev/zero of=/dev/mapper/"$1" bs=4k count=4 oflag=direct 2>/dev/null
	dd if="$2" bs=4k count=4 iflag=direct 2>/dev/null | md5sum
}
# what the key in hex would give, in a mapping made by dmsetup
expected() {
	dmsetup create cvkr$$-x --table "0 4096 crypt aes-xts-plain64 $1 0 $2 0" &&
		fingerprint cvkr$$-x "$2"
	dmsetup remove cvkr$$-x
}

expect1=$(expected "$key1" "$loop") expect2=$(expected "$key2" "$loop2")
check "the two keys differ" test "$expect1" != "$expect2"

# --- for the length of a call
check "a key for the call" "$PROBE" put-create $a CRYPT-A $description "$key1" "$table $dev 0"
check_equal "encrypts with it" "$expect1" "$(fingerprint $a "$loop")"
check_equal "the key is gone" 0 "$(keys_listed "cryptvol:|$description" 0)"
check_says "the thread keyring is as before" "^during 4 after 0$" "$PROBE" residue $description "$key1"
check_says "so it can't be grown" "ENOKEY.*no key is kept for $a" "$PROBE" grow $a 8192
check_equal "and is as it was" 4096 "$(blockdev --getsz /dev/mapper/$a)"
check "a revoke of nothing succeeds" "$PROBE" revoke $a
check "remove" "$PROBE" remove $a

# --- two clones: one description, two keys
start_keeper
check "keep a's key" ask keep-create $a CRYPT-LUKS2-1-$a $description "$key1" "$table $dev 0"
check "keep b's key" ask keep-create $b CRYPT-LUKS2-1-$b $description "$key2" "$table $dev2 0"
check_equal "a's ciphertext" "$expect1" "$(fingerprint $a "$loop")"
check_equal "b's ciphertext" "$expect2" "$(fingerprint $b "$loop2")"
check "grow b" ask grow $b 8192
check "grow a" ask grow $a 16384
check_equal "both have grown" "16384 8192" \
	"$(blockdev --getsz /dev/mapper/$a) $(blockdev --getsz /dev/mapper/$b)"
check_equal "a's ciphertext is the same" "$expect1" "$(fingerprint $a "$loop")"
check_equal "b's ciphertext is the same" "$expect2" "$(fingerprint $b "$loop2")"
check_says "another process's table that names the key finds none" ENOKEY "$PROBE" reload $a "$table $dev 0"
check_says "nor with the user keyring in the session" "ENOKEY.*no key" \
	keyctl session - bash -c "keyctl link @u @s && '$PROBE' reload $a '$table $dev 0'"
check_says "nor is it kept for another process" "ENOKEY.*no key is kept for $a" "$PROBE" kept $a CRYPT-LUKS2-1-$a

# --- bound to name and UUID
check_says "another dm UUID" "ENOKEY.*belongs to another volume" ask find $a CRYPT-LUKS2-2-$a
check_says "another name" "ENOKEY.*no key is kept for $a-x" ask find $a-x CRYPT-LUKS2-1-$a
check_says "a look finds no other either" "ENOKEY.*belongs to another volume" ask kept $a CRYPT-LUKS2-2-$a
check "a look finds its own" ask kept $a CRYPT-LUKS2-1-$a
check "its own" ask find $a CRYPT-LUKS2-1-$a

# --- a's key is gone, b's is there: b's must not be taken for it
check "revoke a's key" ask revoke $a
check_says "a can't be grown" "ENOKEY.*no key is kept for $a" ask grow $a 8192
check_equal "a is as it was" "16384 $expect1" "$(blockdev --getsz /dev/mapper/$a) $(fingerprint $a "$loop")"

# --- closing one leaves the other
check "remove a" ask remove $a
check "b grows on" ask grow $b 12288
check_equal "b's ciphertext is still the same" "$expect2" "$(fingerprint $b "$loop2")"

# --- opened again under a name whose ring is still there: the old key is of no use any more
check "remove b" ask remove $b
check "keep one key" ask keep-create $b CRYPT-LUKS2-1-$b $description "$key1" "$table $dev2 0"
check "remove without a revoke" ask remove $b
check "keep another" ask keep-create $b CRYPT-LUKS2-1-$b $description "$key2" "$table $dev2 0"
check "grow" ask grow $b 8192
check_equal "with the later key" "$expect2" "$(fingerprint $b "$loop2")"

# --- a failure leaves nothing
check_says "a create that fails" "EINVAL|EHOSTDOWN" ask keep-create $a CRYPT-A $description "$key1" \
	"0 4096 crypt nonesuch-xts-plain64 :64:logon:$description 0 $dev 0"
check_says "no ring of it" "ENOKEY" ask find $a CRYPT-A

# --- the keeper is gone: an error, and nothing changes
end_keeper
check_says "nobody has the key" "ENOKEY.*no key is kept" "$PROBE" grow $b 16384
check_equal "the size is as it was" 8192 "$(blockdev --getsz /dev/mapper/$b)"
check_says "and it is live" "targets=1 live$" "$PROBE" info $b
check "remove b again" "$PROBE" remove $b

# --- the key quota
if [ -w /proc/sys/kernel/keys/root_maxkeys ]; then
	keys=$(</proc/sys/kernel/keys/root_maxkeys)
	echo 1 >/proc/sys/kernel/keys/root_maxkeys
	check_says "quota" "EDQUOT.*quota of user 0" "$PROBE" keep-create $a CRYPT-A $description "$key1" "$table $dev 0"
	echo "$keys" >/proc/sys/kernel/keys/root_maxkeys
	check_says "leaves no mapping" ENODEV "$PROBE" info $a
else
	skip "quota" "root_maxkeys can't be set"
fi

check_equal "no key of ours is left" 0 "$(keys_listed "cryptvol:|$description" 0)"
nothing_left_behind "at the end" "^loop device over $SCRATCH"
