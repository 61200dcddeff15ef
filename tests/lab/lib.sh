# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the shell tests: result lines, scratch images and devices that go away with the test.
#
#   . "$(dirname "$0")/../lab/lib.sh"
#   need_root; need cryptsetup
#   loop=$(make_loop 32M)
#   check "format" pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$loop" -d -
#   check_status "wrong passphrase" 2 pass wrong "$CRYPTVOL" open --test-passphrase "$loop" -d -
#   nothing_left_behind "at the end"
#
# The script needs no exit at its end: a trap removes what lies on $SCRATCH and sets the status
# (1 if a check failed, 77 if all was skipped).

set -u
LAB=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
ROOT=$(dirname "$(dirname "$LAB")")
BUILD=${BUILD:-$ROOT/obj}
CRYPTVOL=${CRYPTVOL:-$BUILD/cryptvol}
CRYPTSETUP=${CRYPTSETUP:-cryptsetup}
export BUILD CRYPTVOL CRYPTSETUP

# Cheap keyslots, spelled the same by cryptsetup and by us: for tests whose subject is not the cost.
# shellcheck disable=SC2034
FAST_KDF=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000)
# shellcheck disable=SC2034
FAST_ARGON2=(--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1)

OKS=0 FAILS=0 SKIPS=0

ok() {
	OKS=$((OKS + 1))
	printf 'ok %s\n' "$1"
}

fail() {
	FAILS=$((FAILS + 1))
	printf 'FAIL %s: %s\n' "$1" "${2:-it does not hold}"
}

# skip NAME WHY: this check can't be made here
skip() {
	SKIPS=$((SKIPS + 1))
	printf 'SKIP %s: %s\n' "$1" "$2"
}

# skip_all WHY: nothing of this test can be run here
skip_all() {
	skip "$(basename "$0")" "$1"
	exit 77
}

# check NAME COMMAND...: the command succeeds; its output is shown only where it does not
check() {
	check_status "$1" 0 "${@:2}"
}

# check_status NAME STATUS COMMAND...: the command ends with just this status
check_status() {
	local name=$1 want=$2 status
	shift 2
	"$@" >"$SCRATCH/output" 2>&1
	status=$?
	if [ "$status" = "$want" ]; then
		ok "$name"
		return 0
	fi
	sed 's/^/    /' "$SCRATCH/output"
	fail "$name" "status $status, not $want: $*"
	return 1
}

# check_equal NAME WANTED FOUND: two texts
check_equal() {
	if [ "$2" = "$3" ]; then
		ok "$1"
		return 0
	fi
	fail "$1" "wanted '$2', found '$3'"
	return 1
}

# check_says NAME PATTERN COMMAND...: the output (both streams) has a line that matches (grep -E)
check_says() {
	local name=$1 pattern=$2
	shift 2
	"$@" >"$SCRATCH/output" 2>&1
	if grep -qE -e "$pattern" "$SCRATCH/output"; then
		ok "$name"
		return 0
	fi
	sed 's/^/    /' "$SCRATCH/output"
	fail "$name" "no line matches '$pattern': $*"
	return 1
}

# pass PASSPHRASE COMMAND...: the command with just these bytes on its standard input
pass() {
	local secret=$1
	shift
	"$@" < <(printf '%s' "$secret")
}

need_root() {
	[ "$(id -u)" = 0 ] || skip_all "it needs root"
}

need() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip_all "there is no $program here"
	done
}

# need_target NAME...: a device-mapper target of this kernel, loaded if it is a module
need_target() {
	local target
	for target; do
		modprobe -q "dm-$target" 2>/dev/null
		dmsetup targets 2>/dev/null | grep -q "^$target " ||
			skip_all "this kernel has no device-mapper target $target"
	done
}

# make_image SIZE [NAME]: a sparse file below $SCRATCH; prints its path
make_image() {
	local file
	file=$(mktemp "$SCRATCH/${2:-image}.XXXXXX") && truncate -s "$1" "$file" && echo "$file"
}

# make_loop SIZE [LOSETUP OPTIONS]: a loop device over a fresh image; prints its path
make_loop() {
	local file
	file=$(make_image "$1") && losetup -f --show "${@:2}" "$file"
}

# loop_of FILE [LOSETUP OPTIONS]: a loop device over this file; prints its path
loop_of() {
	losetup -f --show "${@:2}" "$1"
}

# What a test could leave in the kernel, one item a line. No program is started but sed's one.
kernel_state() {
	local f
	for f in /sys/block/dm-*/dm/name; do
		[ -e "$f" ] && echo "mapped device $(<"$f")"
	done
	for f in /sys/block/loop*/loop/backing_file; do
		[ -e "$f" ] && echo "loop device over $(<"$f")"
	done
	for f in /run/cryptsetup/*; do
		[ -e "$f" ] && echo "lock $f"
	done
	sed -n '/cryptsetup:\|cryptvol/s/^[^ ]* .* \([a-z]* *[^ ]*:.*\)$/key \1/p' /proc/keys 2>/dev/null
	return 0
}

# left_behind [PATTERN]: what is there now and was not at the start, but for items that match PATTERN.
# Keys of an ended process go a moment later: it waits that long.
left_behind() {
	local except=${1:-^$} left limit=$((SECONDS + 3))
	while :; do
		left=$(kernel_state | grep -vxF -f "$SCRATCH/state" | grep -vE -e "$except")
		[ -n "$left" ] && [ $SECONDS -lt $limit ] || break
		sleep 0.2
	done
	printf '%s' "$left"
}

# nothing_left_behind NAME [PATTERN]: no mapping, loop device, key or lock that was not there before
nothing_left_behind() {
	check_equal "$1: nothing left behind" "" "$(left_behind "${2-}")"
}

# Take away what stands on a block device (given by its name in /sys/block), the topmost first.
drop_holders() {
	local holder node
	for holder in /sys/block/"$1"/holders/*; do
		[ -e "$holder" ] || continue
		holder=${holder##*/}
		drop_holders "$holder"
		node=/dev/mapper/$(<"/sys/block/$holder/dm/name")
		umount -l "$node" "/dev/$holder" 2>/dev/null
		dmsetup remove --force --noudevsync "${node##*/}" >/dev/null 2>&1
	done
}

# Only what lies on this test's own files is touched, found from the files themselves.
lab_cleanup() {
	local status=$? f name
	trap - EXIT
	cd / || exit 1
	for f in /sys/block/loop*/loop/backing_file; do
		[ -e "$f" ] || continue
		case $(<"$f") in "$SCRATCH"/*) ;; *) continue ;; esac
		name=${f#/sys/block/} name=${name%%/*}
		drop_holders "$name"
		umount -l "/dev/$name" 2>/dev/null
		losetup -d "/dev/$name" 2>/dev/null
	done
	while read -r _ f _; do
		case $f in "$SCRATCH"/*) umount -l "$f" ;; esac
	done </proc/self/mounts
	rm -rf --one-file-system "$SCRATCH"
	[ "$FAILS" = 0 ] || exit 1
	[ "$status" = 0 ] || exit "$status"
	[ "$((OKS + SKIPS))" -gt 0 ] || { echo "FAIL $(basename "$0"): it checked nothing" && exit 1; }
	[ "$OKS" -gt 0 ] || exit 77
	exit 0
}

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/cryptvol-test.XXXXXX") || exit 1
kernel_state >"$SCRATCH/state"
trap lab_cleanup EXIT
trap 'exit 130' INT TERM
