#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real udevd: cookies, flags without a cookie, private devices, and a udevd that is stuck or dead.
# A udevd of our own is started where none runs; the tests that stop it are only for that one.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need dmsetup losetup udevadm
need_target linear
PROBE=$BUILD/loopdev/dm_probe
[ -x "$PROBE" ] || skip_all "there is no $PROBE"

# "major:minor" of a device node
number() {
	local hex
	hex=$(stat -Lc '%t:%T' "$1") && printf '%d:%d\n' "0x${hex%:*}" "0x${hex#*:}"
}
unset DM_DISABLE_UDEV

loop=$(make_loop 8M)
dev=$(number "$loop")
n=cvud$$ m=cvud$$-new

udevd=
start_udevd() {
	local program tries=0
	for program in /lib/systemd/systemd-udevd /usr/lib/systemd/systemd-udevd; do
		[ -x "$program" ] && break
	done
	[ -x "$program" ] || skip_all "there is no systemd-udevd here"
	mkdir -p /run/udev
	"$program" --resolve-names=never >"$SCRATCH/udevd.log" 2>&1 &
	udevd=$!
	while [ ! -S /run/udev/control ] && ((tries++ < 100)); do sleep 0.1; done
	sleep 0.3
}
end_udevd() {
	[ -z "$udevd" ] || { kill -CONT "$udevd" && kill -KILL "$udevd"; wait "$udevd"; } 2>/dev/null
	[ -z "$udevd" ] || rm -f /run/udev/control
	udevd=
}
trap 'end_udevd; lab_cleanup' EXIT

if ! udevadm control --ping --timeout=2 2>/dev/null; then
	rm -f /run/udev/control
	start_udevd
fi
[ -e /lib/udev/rules.d/95-dm-notify.rules ] || skip_all "device-mapper's udev rules aren't here"

node() {
	[ -L /dev/mapper/"$1" ] && readlink /dev/mapper/"$1"
}
right() {
	echo "../dm-$(dmsetup info -c --noheadings -o minor "$1")"
}
database() {
	udevadm info --query=property "/dev/dm-$(dmsetup info -c --noheadings -o minor "$1")"
}
cookies() {
	dmsetup udevcookies 2>/dev/null | grep -c '^0x'
}
goes_on() { # NAME COMMAND...: ends by itself, and succeeds
	local name=$1
	shift
	check "$name" "$@"
	cp "$SCRATCH/output" "$SCRATCH/output.quick"
}

# --- with cookies
check_says "a cookie is used" "debug: udev is running$" "$PROBE" -v create $n CV-UDEV-1 "0 2048 linear $dev 0"
check_equal "udev's link" "$(right $n)" "$(node $n)"
check_says "udev knows where the event came from" "^DM_UDEV_PRIMARY_SOURCE_FLAG=1" database $n
check_says "and trusts it to make nodes" "^DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG=1" database $n
check_says "a link by UUID" "by-id/dm-uuid-CV-UDEV-1" database $n
check "reload" strace -f -o "$SCRATCH/trace" -e trace=semtimedop "$PROBE" reload $n "0 4096 linear $dev 0"
check_says "the cookie came back" "semtimedop\(.* = 0$" cat "$SCRATCH/trace"
check "rename" "$PROBE" rename $n $m
check_equal "links moved" "$(right $m)-" "$(node $m)-$(node $n)"
check "remove" "$PROBE" remove $m
check_equal "no link" "" "$(node $m)"
check_equal "no cookie is left" 0 "$(cookies)"

# --- a private device
check "create a private one" "$PROBE" -p create $n CV-UDEV-2 "0 2048 linear $dev 0"
for flag in DISABLE_SUBSYSTEM_RULES DISABLE_DISK_RULES DISABLE_OTHER_RULES; do
	check_says "its $flag" "^DM_UDEV_${flag}_FLAG=1" database $n
done
check_equal "udev's blkid didn't look at it" "" "$(database $n | grep -E 'ID_FS|by-id/dm-uuid')"
check_equal "its link" "$(right $n)" "$(node $n)"
check "remove it" "$PROBE" remove $n

# --- without cookies
check "create with no cookie" strace -f -o "$SCRATCH/trace" -e trace=semget,semop,semtimedop,semctl,openat \
	"$PROBE" -n create $n CV-UDEV-3 "0 2048 linear $dev 0"
check_equal "no semaphore, no library" "" "$(grep -E '^[0-9]+ +sem|libdevmapper' "$SCRATCH/trace")"
check_equal "udev's link, too" "$(right $n)" "$(node $n)"
check_says "the event's source, too" "^DM_UDEV_PRIMARY_SOURCE_FLAG=1" database $n
check "rename with no cookie" "$PROBE" -n rename $n $m
check_equal "links moved, too" "$(right $m)-" "$(node $m)-$(node $n)"
check "remove with no cookie" "$PROBE" -n remove $m
check_equal "no link, too" "" "$(node $m)"

# --- what udev won't replace
mknod /dev/mapper/$n b 7 7
check "a stale node" "$PROBE" -w 2000 create $n CV-UDEV-4 "0 2048 linear $dev 0"
check_equal "is replaced" "$(dmsetup info -c --noheadings -o major,minor $n)" \
	"$(number /dev/mapper/$n)"
check "remove, stale node and all" "$PROBE" -w 2000 remove $n
check_equal "nothing there" no "$([ -e /dev/mapper/$n ] && echo yes || echo no)"

# --- another IPC namespace: a cookie would never be counted down
if command -v unshare >/dev/null; then
	check_says "another IPC namespace" "out of reach for cookies" \
		unshare --ipc "$PROBE" -v create $n CV-UDEV-5 "0 2048 linear $dev 0"
	check_equal "udev's link all the same" "$(right $n)" "$(node $n)"
	check "remove from there" unshare --ipc "$PROBE" remove $n
else
	skip "another IPC namespace" "no unshare"
fi

# --- a container: the host's udevd is out of sight, but works on the same /dev
inside() { # MOUNTPOINT COMMAND...: with an empty file system there
	unshare --mount --propagation private sh -c 'mount -t tmpfs none "$0" && exec "$@"' "$@"
}
check "create where udevd is out of sight" inside /run/udev "$PROBE" create $n CV-UDEV-C "0 2048 linear $dev 0"
udevadm settle --timeout=20
check_equal "one link for both" "$(right $n)" "$(node $n)"
check "rename there" inside /run/udev "$PROBE" rename $n $m
udevadm settle --timeout=20
check_equal "one link, moved" "$(right $m)-" "$(node $m)-$(node $n)"
check "remove there" inside /run/udev "$PROBE" remove $m
udevadm settle --timeout=20
check_equal "and none" "" "$(node $m)"

# --- a container with a /dev of its own
goes_on "create in a /dev of its own" inside /dev sh -c 'DM_DISABLE_UDEV=1 "$0" create "$1" CV-UDEV-D "$2" &&
	stat -c "%F %Hr:%Lr" "/dev/mapper/$1" && ls /dev/mapper' "$PROBE" $n "0 2048 linear $dev 0"
check_says "a block node there" "^block special file $(dmsetup info -c --noheadings -o major,minor $n)$" \
	cat "$SCRATCH/output.quick"
check "remove" "$PROBE" remove $n

if [ -z "$udevd" ]; then
	skip "a udevd that is stuck" "this udevd isn't ours to stop"
else
	# --- a udevd that is stuck
	kill -STOP "$udevd"
	goes_on "create while udevd is stuck" "$PROBE" -w 1500 create $n CV-UDEV-6 "0 2048 linear $dev 0"
	check_equal "the node is there" "$(dmsetup info -c --noheadings -o major,minor $n)" \
		"$(number /dev/mapper/$n)"
	goes_on "with no cookie" "$PROBE" -n -w 1500 reload $n "0 4096 linear $dev 0"
	goes_on "remove while udevd is stuck" "$PROBE" -w 1500 remove $n
	check_equal "no node" no "$([ -L /dev/mapper/$n ] && echo yes || echo no)"
	check_equal "no cookie" 0 "$(cookies)"
	kill -CONT "$udevd"
	udevadm settle --timeout=20

	# --- udevd dies in the middle
	kill -STOP "$udevd"
	"$PROBE" -w 3000 create $n CV-UDEV-7 "0 2048 linear $dev 0" &
	probe=$!
	sleep 0.5
	{ kill -KILL "$udevd" && wait "$udevd"; } 2>/dev/null
	goes_on "udevd is killed meanwhile" wait $probe
	check_equal "the node is there, too" "$(dmsetup info -c --noheadings -o major,minor $n)" \
		"$(number /dev/mapper/$n)"
	# --- its socket is still there
	check "a socket that nobody listens on" test -S /run/udev/control
	goes_on "remove with a dead udevd" "$PROBE" remove $n
	check_equal "no node there" no "$([ -L /dev/mapper/$n ] && echo yes || echo no)"
	rm -f /run/udev/control
	goes_on "create with none" "$PROBE" create $n CV-UDEV-8 "0 2048 linear $dev 0"
	check_equal "a node of ours" "$(right $n)" "$(node $n)"
	goes_on "remove with none" "$PROBE" remove $n
	udevd=

	# --- and comes back: it takes our link for its own
	check "create before udevd" "$PROBE" create $n CV-UDEV-9 "0 2048 linear $dev 0"
	start_udevd
	check "reload" "$PROBE" reload $n "0 4096 linear $dev 0"
	check_equal "the link" "$(right $n)" "$(node $n)"
	check "remove by udev" "$PROBE" remove $n
	check_equal "is gone" "" "$(node $n)"
fi
check_equal "no cookie in the end" 0 "$(cookies)"
end_udevd
nothing_left_behind "at the end" "^loop device over $SCRATCH"
