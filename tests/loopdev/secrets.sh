#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# guest: -e TEST_PROGRAM
# No secret is left in the memory of the program when it ends: after unlocking, after failure, after
# format. Every mapping is looked at from outside (memscan.c), the guard pages and what no core dump
# would hold too. Looked for: passphrases, volume keys, keyslot keys, key material; pieces of 16 bytes, raw and in
# digits. The controls find each of them while it is held. TEST_PROGRAM tries another program.
. "$(dirname "$0")/../lab/lib.sh"
HERE=$(dirname "$(readlink -f "$0")")
need_root
need cc dmsetup keyctl
need_target crypt
PROGRAM=${TEST_PROGRAM:-$CRYPTVOL}

cd "$SCRATCH" || exit 1
cc -O2 -Wall -o memscan "$HERE/memscan.c" || exit 1
head -c 30 /dev/urandom | base64 -w 0 >pass
head -c 30 /dev/urandom | base64 -w 0 >pass2
head -c 30 /dev/urandom | base64 -w 0 >wrong
head -c 64 /dev/urandom >volume-key
printf 'a\npassphrase\0of a file\n%s' "$(cat pass)" >keyfile
LOOP=$(make_loop 24M)
AREAS=(--luks2-metadata-size 16k --luks2-keyslots-size 1m)

# scan NAME "SECRETS" STATUS COMMAND...: run it to its end, keep its memory, find nothing in it
scan() {
	local name=$1 secrets=$2 want=$3 status
	shift 3
	./memscan -o memory -- "$PROGRAM" "$@" <"${INPUT:-/dev/null}" >output 2>errors
	status=$?
	if [ $status != "$want" ] || grep 'not readable' errors; then
		fail "$name" "status $status, not $want: $(tail -n 1 errors)"
		return
	fi
	no_secret "$name" "$secrets"
}

# no_secret NAME "SECRETS": search the memory that was kept
no_secret() {
	local secret args=() found
	for secret in $2; do
		args+=(-s "$secret=$secret")
	done
	found=$(./memscan -i memory "${args[@]}")
	case $? in
	0) ok "$1: nothing of: $2" ;;
	1) fail "$1" "$(echo "$found" | sort -u -k 1,4 | head -n 4 | tr '\n' ';')" ;;
	*) fail "$1" "the memory could not be searched" ;;
	esac
}

# held NAME "SECRETS" COMMAND...: the control: each of them is seen at some system call
held() {
	local name=$1 secrets=$2 secret args=()
	shift 2
	for secret in $secrets; do
		args+=(-s "$secret=$secret")
	done
	./memscan -w "${args[@]}" -- "$PROGRAM" "$@" <"${INPUT:-/dev/null}" >output 2>&1
	if [ "$(grep -c ' seen$' output)" = "$(wc -w <<<"$secrets")" ] && ! grep -q 'not seen' output; then
		ok "control, $name: seen while held: $secrets"
	else
		fail "control, $name" "$(grep 'seen$' output | tr '\n' ';')"
	fi
}

# The program's memory after format, then what it held, worked out from what it wrote.
format() {
	local name=$1
	shift
	./memscan -o memory -- "$PROGRAM" -q luksFormat --type luks2 "${AREAS[@]}" "$@" \
		--key-file pass "$LOOP" >output 2>&1 || fail "$name" "$(tail -n 1 output)"
	"$HERE/secrets_derive.py" "$LOOP" pass 0 . && rm -f made-key &&
		"$CRYPTSETUP" -q luksDump --dump-volume-key --volume-key-file made-key --key-file pass \
			"$LOOP" >output 2>&1 || fail "$name" "what it held can't be worked out"
	no_secret "$name" "pass made-key derived material"
}

# The control of the search at the end: a program that wipes nothing.
./memscan -o memory -- bash -c 'read -r word <pass; exit 0'
check_status "control: what is left at the end is found" 1 ./memscan -i memory -s pass=pass
check_status "control: what was never there is not found" 0 ./memscan -i memory -s pass2=pass2

format "format, argon2id" -s 512 "${FAST_ARGON2[@]}"
format "format, argon2id with four threads" -s 512 --pbkdf argon2id --pbkdf-force-iterations 4 \
	--pbkdf-memory 8192 --pbkdf-parallel 4
scan "unlock, argon2id with four threads" "pass made-key derived material" 0 \
	open --test-passphrase --key-file pass "$LOOP"
format "format, adiantum by the kernel's cipher" -c xchacha12,aes-adiantum-plain64 -s 256 "${FAST_KDF[@]}"
scan "unlock, adiantum by the kernel's cipher" "pass made-key derived material" 0 \
	open --test-passphrase --key-file pass "$LOOP"
scan "format with a volume key from a file" "pass volume-key" 0 -q luksFormat --type luks2 "${AREAS[@]}" \
	-s 512 "${FAST_KDF[@]}" --volume-key-file volume-key --key-file pass "$LOOP"

"$HERE/secrets_derive.py" "$LOOP" pass 0 .
ALL="pass volume-key derived material"
held "open" "$ALL" open --key-file pass "$LOOP" secrets
dmsetup remove secrets
scan "open" "$ALL" 0 open --key-file pass "$LOOP" secrets
scan "open a name that is taken" "$ALL" 5 open --key-file pass "$LOOP" secrets
scan "resize" "$ALL" 0 resize --size 2048 --key-file pass secrets
scan "close" "$ALL" 0 close secrets
INPUT=pass scan "open, passphrase on standard input" "$ALL" 0 open "$LOOP" secrets
scan "close" "$ALL" 0 close secrets
scan "open without keyring" "$ALL" 0 open --disable-keyring --key-file pass "$LOOP" secrets
scan "resize without keyring" "$ALL" 0 resize --size 4096 secrets
scan "status without keyring" "$ALL" 0 status secrets
scan "close without keyring" "$ALL" 0 close secrets
held "open without keyring" "$ALL" open --disable-keyring --key-file pass "$LOOP" secrets
dmsetup remove secrets
scan "open by volume key" volume-key 0 open --volume-key-file volume-key "$LOOP" secrets
scan "close" volume-key 0 close secrets
scan "wrong passphrase" wrong 2 open --test-passphrase --key-file wrong "$LOOP"
"$HERE/secrets_derive.py" "$LOOP" wrong 0 . only
scan "wrong passphrase" "wrong derived" 2 open --key-file wrong "$LOOP" secrets
held "wrong passphrase" "wrong derived" open --key-file wrong "$LOOP" secrets
"$HERE/secrets_derive.py" "$LOOP" pass 0 .

# The kernel refuses the key: what was unlocked has to go all the same.
read -r keys_max </proc/sys/kernel/keys/root_maxkeys
echo 1 >/proc/sys/kernel/keys/root_maxkeys
scan "open, the kernel takes no key" "$ALL" 1 open --key-file pass "$LOOP" secrets
echo "$keys_max" >/proc/sys/kernel/keys/root_maxkeys

scan "add a key file" "$ALL keyfile" 0 -q luksAddKey "${FAST_KDF[@]}" --key-file pass "$LOOP" keyfile
scan "unlock by key file" "$ALL keyfile" 0 open --test-passphrase --key-file keyfile "$LOOP"
scan "add a key that is wrong" "wrong pass2" 2 -q luksAddKey "${FAST_KDF[@]}" --key-file wrong "$LOOP" pass2
scan "change a key" "$ALL pass2" 0 -q luksChangeKey "${FAST_KDF[@]}" --key-file pass "$LOOP" pass2
scan "kill a keyslot" "pass2 keyfile volume-key" 0 -q luksKillSlot --key-file pass2 "$LOOP" 1
scan "dump the volume key to a file" "pass2 volume-key" 0 -q luksDump --dump-volume-key \
	--volume-key-file dumped --key-file pass2 "$LOOP"
check "the dumped volume key is the one given" cmp dumped volume-key
losetup -d "$LOOP"
nothing_left_behind "after all"
