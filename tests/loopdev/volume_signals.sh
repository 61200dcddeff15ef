#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# SIGTERM at each ioctl of open and resize: a mapping is there whole, with its table live and its node, or not at all, and an open one is
# never left with a second table or standing still.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need strace dmsetup losetup
need_target crypt

NAME=vsignals$$
IMAGE=$(make_image 20M)
printf secret >"$SCRATCH/key"
"$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$IMAGE" "$SCRATCH/key" || fail "format"
LOOP=$(loop_of "$IMAGE")

open_it() { "$@" "$CRYPTVOL" open --key-file "$SCRATCH/key" "$LOOP" "$NAME"; }
shrink() { "$@" "$CRYPTVOL" resize --size 1024 --key-file "$SCRATCH/key" "$NAME"; }

# what dmsetup says of the mapping: state, tables, node
mapping() {
	[ "$(dmsetup info -c --noheadings -o name "$NAME" 2>/dev/null)" = "$NAME" ] || { echo absent; return; }
	printf '%s %s\n' "$(dmsetup info "$NAME" | sed -n 's/^\(State\|Tables present\): *//p' | paste -sd' ')" \
		"$([ -b "/dev/mapper/$NAME" ] && echo node)"
}

# killed NAME VERB: one run after the other, each hit by SIGTERM at a later ioctl; prints what was found with how often
killed() {
	local verb=$1 n status state bad= ended=0
	for n in {1..200}; do
		[ "$verb" = open_it ] || open_it env || bad+=" $n:no-open"
		"$verb" strace -f -o "$SCRATCH/trace" -e inject=ioctl:signal=TERM:when="$n" >"$SCRATCH/said" 2>&1
		status=$?
		state=$(mapping)
		case "$verb $state" in
		"open_it absent" | *" ACTIVE LIVE node") ;;
		*) bad+=" $n:$state" ;;
		esac
		[ "$state" = absent ] || "$CRYPTVOL" close "$NAME" || dmsetup remove --retry "$NAME"
		grep -q SIGTERM "$SCRATCH/trace" || break
		ended=$n
		[ $status = 143 ] || bad+=" $n:status-$status"
	done
	check_equal "$verb, SIGTERM at each ioctl ($ended of them)" "" "$bad"
	check "$verb: enough of them, and one comes through" [ "$ended" -gt 6 -a "$n" -lt 200 -a $status = 0 ]
	nothing_left_behind "$verb" "^lock |^loop device over $IMAGE"
}

killed open_it
killed shrink
losetup -d "$LOOP"
