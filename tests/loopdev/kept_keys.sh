#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volume keys against a root process of a container: what is kept with a mapping, by a process or in the table,
# and what lies in the keyring for a call. It may know each key's number and name.
. "$(dirname "$0")/../lab/lib.sh"
. "$ROOT/tests/loopdev/keeper.bash"
need_root
need dmsetup losetup keyctl
need_target crypt
modprobe -q algif_skcipher 2>/dev/null
PROBE=$BUILD/loopdev/dm_probe ATTACK=$BUILD/loopdev/keyattack
for program in "$PROBE" "$ATTACK"; do
	[ -x "$program" ] || skip_all "there is no $program"
done
export DM_DISABLE_UDEV=1

uuid=11111111-2222-3333-4444-555555555555
description=cryptsetup:$uuid-d0
key1=$(printf '1%.0s' {1..128}) key2=$(printf '2%.0s' {1..128})
a=cvkk$$-a b=cvkk$$-b

# attack FLAGS [SERIAL]...: the lines of what was taken
attack() {
	# shellcheck disable=SC2086
	"$ATTACK" $1 ":$uuid,cryptvol:cvkk" "$description" "cryptvol:$a" "cryptvol:$b" "${@:2}" >"$SCRATCH/attack" 2>&1
	grep -E '^took' "$SCRATCH/attack" | sort -u
	grep -q '^tried' "$SCRATCH/attack" || cat "$SCRATCH/attack"
}
# holds NAME [SERIAL]...: nothing is taken by a container of any kind, though it destroys what it can
holds() {
	check_equal "$1: default capabilities" "" "$(attack -d "${@:2}")"
	check_equal "$1: no capabilities" "" "$(attack -nd "${@:2}")"
	check_equal "$1: and a seccomp filter" "" "$(attack -nsd "${@:2}")"
}
# took CALL...: did the last attack get these?
took() {
	local call
	for call; do
		grep -qE "^took [a-z-]*:?$call " "$SCRATCH/attack" || { cat "$SCRATCH/attack" && return 1; }
	done
}

# --- the control: a key below the user keyring, with the permissions that such a store needs, is anybody's
ring=$(keyctl newring "cryptvol:$a" @u)
id=$(printf '%064d' 1 | keyctl padd logon "$description" "$ring")
keyctl setperm "$id" 0x35210000
attack -nd >/dev/null
check "control: taken without a capability" took list setperm link search move revoke
if [ "$(printf '%s\n' 6.2 "$(uname -r)" | sort -V | head -n 1)" = 6.2 ]; then
	check "control: and used by AF_ALG" took use-by-AF_ALG
else
	skip "control: and used by AF_ALG" "Linux $(uname -r) is older than 6.2"
fi

# --- what an earlier version left there is cleared
ring=$(keyctl newring "cryptvol:$a" @u)
id=$(printf '%064d' 1 | keyctl padd logon "$description" "$ring")
keyctl setperm "$id" 0x35210000
other=$(keyctl newring "not-ours" @u)
start_keeper
check_equal "one ring is cleared" 1 "$(ask clear-user)"
check_equal "and then none" 0 "$(ask clear-user)"
check_equal "its key is dead" "" "$(attack -n "$id")"
check "another's ring stays" keyctl describe "$other"
keyctl unlink "$other" @u

# --- kept by a process
loop=$(make_loop 16M) loop2=$(make_loop 16M)
table="0 4096 crypt aes-xts-plain64 :64:logon:$description 0"
check "keep a's key" ask keep-create $a CRYPT-LUKS2-1-$a $description "$key1" "$table $(number "$loop") 0"
check "keep b's key" ask keep-create $b CRYPT-LUKS2-1-$b $description "$key2" "$table $(number "$loop2") 0"
mapfile -t serials < <(ask serials)
check "its process sees the keys" test ${#serials[@]} -ge 7
check_equal "nobody else does" 0 "$(keys_listed "cryptvol:|$description" 0)"
holds "kept by a process" "${serials[@]}"
check "a grows all the same" ask grow $a 8192
check "and b" ask grow $b 8192
check_equal "both have grown" "8192 8192" "$(blockdev --getsz /dev/mapper/$a) $(blockdev --getsz /dev/mapper/$b)"
check_says "another process can't grow it" "ENOKEY.*no key is kept for $a" "$PROBE" grow $a 16384

# --- closed by somebody else: the key goes, the other's stays
check_equal "nothing to reap" 0 "$(ask reap)"
check "no change so far is waited for" ask watch 0
dmsetup remove $a
check "the removal is told" timeout 20 cat <(ask watch 15000)
check_equal "one key is reaped" 1 "$(ask reap)"
holds "after the mapping is closed" "${serials[@]}"
check_says "nothing is kept of it" "ENOKEY.*no key is kept for $a" ask find $a CRYPT-LUKS2-1-$a
check "b grows on" ask grow $b 12288
dmsetup remove $b
dmsetup create $b --table "0 8 zero"
check_equal "another mapping of that name isn't it" 1 "$(ask reap)"
dmsetup remove $b

# --- for the length of a call
check "a key for a call" ask put $description "$key1"
mapfile -t call < <(ask serials)
holds "during a call" "${call[@]}"
check "the call finds its key" ask create $a CRYPT-A "$table $(number "$loop") 0"
check "drop it" ask drop
check "remove a" ask remove $a

# --- the process dies
check "keep a's key again" ask keep-create $a CRYPT-LUKS2-1-$a $description "$key1" "$table $(number "$loop") 0"
mapfile -t serials < <(ask serials)
end_keeper
holds "after the process died" "${serials[@]}"
dmsetup remove $a

# --- the command keeps the key in the table, for as long as the mapping lives
image=$(make_image 32M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --uuid $uuid "$image" -d -
check "open --keep-key" pass secret "$CRYPTVOL" open --keep-key "$image" $a -d -
holds "open --keep-key"
truncate -s 48M "$image"
check "grow it without a passphrase, in another session" keyctl session - "$CRYPTVOL" resize $a
check_equal "it has grown" 65536 "$(blockdev --getsz /dev/mapper/$a)"
dmsetup remove $a
holds "closed by dmsetup"
check_equal "no key of ours is left" 0 "$(keys_listed "cryptvol:|$uuid" 0)"
nothing_left_behind "at the end" "^loop device over $SCRATCH"
