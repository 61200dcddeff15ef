#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# guest: -e TEST_PROGRAM
# No secret goes through a system call but read(2), add_key(2) and AF_ALG's setkey, and with
# --disable-keyring the table's ioctl: never execve or the environment, write or send. From strace's log.
. "$(dirname "$0")/../lab/lib.sh"
HERE=$(dirname "$(readlink -f "$0")")
need_root
need strace
need_target crypt
PROGRAM=${TEST_PROGRAM:-$CRYPTVOL}
ALLOWED=read,add_key,setkey

cd "$SCRATCH" || exit 1
head -c 30 /dev/urandom | base64 -w 0 >pass
head -c 30 /dev/urandom | base64 -w 0 >pass2
head -c 30 /dev/urandom | base64 -w 0 >wrong
head -c 32 /dev/urandom >volume-key
LOOP=$(make_loop 24M)
AREAS=(--luks2-metadata-size 16k --luks2-keyslots-size 256k)

# traced COMMAND...: its system calls to the file log, all strings whole and in digits
traced() {
	strace -f -v -xx -s 1000000 -o log "$@" <"${INPUT:-/dev/null}" >output 2>&1
}

# calls NAME "SECRETS" "ALLOWED MORE" STATUS COMMAND...; allowed more is "none" where no call at all
# has one to carry
calls() {
	local name=$1 secrets=$2 allowed=$ALLOWED${3:+,$3} want=$4 secret args=() status carried=0
	[ "$3" != none ] || { allowed=none && carried=3; }
	shift 4
	traced "$PROGRAM" "$@"
	status=$?
	if [ $status != "$want" ]; then
		fail "$name" "status $status, not $want: $(tail -n 1 output)"
		return
	fi
	for secret in $secrets; do
		args+=("$secret=$secret")
	done
	check_status "$name: $secrets only by $allowed" $carried "$HERE/secrets_trace.py" log "$allowed" "${args[@]}"
}

# planted NAME CALL COMMAND...: the control, a command that gives a secret away by this call
planted() {
	local name=$1 call=$2
	shift 2
	traced "$@"
	check_says "control: a secret in $name is found" "^$call carried pass .*NOT ALLOWED" \
		"$HERE/secrets_trace.py" log $ALLOWED pass=pass
}

planted "an argument" execve true "--passphrase=$(cat pass)"
planted "the environment" execve env "PASSPHRASE=$(cat pass)" true
planted "a write" write dd if=pass
planted "a write, in digits" write bash -c 'od -An -v -tx1 -w4096 pass | tr -d " "'
traced true
check_status "control: a log with no secret in it is no proof" 3 \
	"$HERE/secrets_trace.py" log $ALLOWED pass=pass

for cipher in aes-xts-plain64 xchacha12,aes-adiantum-plain64; do
	calls "format $cipher" "pass volume-key" "" 0 -q luksFormat --type luks2 "${AREAS[@]}" -c $cipher -s 256 \
		"${FAST_ARGON2[@]}" --volume-key-file volume-key --key-file pass "$LOOP"
	"$HERE/secrets_derive.py" "$LOOP" pass 0 . only
	calls "open $cipher" "pass volume-key derived" "" 0 open --key-file pass "$LOOP" secrets
	[ $cipher != aes-xts-plain64 ] ||
		calls "resize" "pass volume-key derived" "" 0 resize --size 2048 --key-file pass secrets
	"$PROGRAM" close secrets
done
INPUT=pass calls "open, passphrase on standard input" "pass volume-key derived" "" 0 open "$LOOP" secrets
"$PROGRAM" close secrets
calls "open without keyring" "pass volume-key derived" ioctl 0 \
	open --disable-keyring --key-file pass "$LOOP" secrets
calls "resize without keyring" "pass volume-key derived" ioctl 0 resize --size 4096 secrets
calls "close without keyring" "pass volume-key derived" none 0 close secrets
calls "wrong passphrase" wrong "" 2 open --key-file wrong "$LOOP" secrets
calls "open by volume key" volume-key "" 0 open --volume-key-file volume-key "$LOOP" secrets
"$PROGRAM" close secrets
calls "add a key" "pass pass2 volume-key derived" "" 0 -q luksAddKey "${FAST_KDF[@]}" --key-file pass \
	"$LOOP" pass2
calls "kill a keyslot" "pass pass2 volume-key" "" 0 -q luksKillSlot --key-file pass2 "$LOOP" 0
losetup -d "$LOOP"
nothing_left_behind "after all"
