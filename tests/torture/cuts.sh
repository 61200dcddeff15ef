#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 14400
# Power cuts: a guest whose disk has a volatile cache is killed at random moments while callers work on the driver in it, some of what
# was not flushed is lost, and the next guest examines what is left (cuts.py). usage: cuts.sh [CUTS]
set -u
TORTURE=$(dirname "$(readlink -f "$0")")
ROOT=$(dirname "$(dirname "$TORTURE")")
BUILD=${BUILD:-$ROOT/obj}
export CRYPTVOL=${CRYPTVOL:-$BUILD/cryptvol} CRYPTVOL_CSI=${CRYPTVOL_CSI:-$BUILD/cryptvol-csi}
SEED=${SEED:-1}
BAD_MAX=${BAD_MAX:-3}
UNIT=4096 # what the disk writes whole or not at all; xfs doesn't survive less than its blocks in the middle of its own recovery
CUTS=${1:-4}
[ "${FULL:-0}" = 0 ] || CUTS=${1:-200}

skip() {
	echo "SKIP cuts.sh: $1"
	exit 77
}
command -v linux.uml >/dev/null || skip "there is no linux.uml here"
[ -x "$CRYPTVOL_CSI" ] || skip "the driver isn't built ($CRYPTVOL_CSI); make csi builds it"
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || skip "there is no python3-grpcio here"

RUN=$(mktemp -d "${TMPDIR:-/tmp}/cuts.XXXXXX") || exit 1
trap 'rm -rf "$RUN"' EXIT
trap 'exit 130' INT TERM
DISK=$RUN/out/disk.img

new_disk() {
	rm -rf "$RUN/out"
	mkdir "$RUN/out" && truncate -s 1G "$DISK" && mkfs.xfs -q -m reflink=1 "$DISK" || exit 1
}

# guest WHAT SEED [OPTION OF uml-run]...: one life; its own words are in life.log
guest() {
	local what=$1 seed=$2
	shift 2
	"$ROOT/tests/lab/uml-run" -m 512M -t 300 -w "$RUN" -c "$DISK" -M "loop dm-crypt ecb xts xfs" -e "SEED=$seed" ${PRELOAD:+-e "PRELOAD=$PRELOAD"} "$@" -- \
		/bin/bash "$TORTURE/guest.sh" "$what" >"$RUN/life.log" 2>&1
}

# tally: what was asked, and how many of it were files
tally() {
	asked=$((asked + $(grep -c '"op"' "$RUN/out/journal")))
	written=$((written + $(grep -c '"op": "write"' "$RUN/out/journal")))
}

# evidence SEED STATUS: the last life, to be read by somebody
evidence() {
	echo "FAIL power cut $done: the guest after it ended with status $2 (seed $1)"
	sed 's/^/    /' "$RUN/life.log"
	tail -n 30 "$RUN/out/journal" | sed 's/^/    journal: /'
	[ ! -e "$RUN/out/driver.log" ] || tail -n 30 "$RUN/out/driver.log" | sed 's/^/    driver: /'
}

# The moment of each cut, what is lost, and whether it comes while the last one is still being looked at: all by the seed.
RANDOM=$SEED
done=0 early=0 bad=0 asked=0 written=0 started=$SECONDS
new_disk
while [ $done -lt "$CUTS" ] && [ $bad -lt "$BAD_MAX" ]; do
	delay=$((RANDOM % 3000 + 50)) how=$RANDOM when=()
	[ $((RANDOM / 8 % 4)) != 0 ] || how=all
	if [ $((RANDOM / 8 % 4)) = 0 ]; then
		when=(-e EARLY=1) early=$((early + 1)) delay=$((delay * 2 + 1000))
	fi
	guest work "$SEED.$done" -p $delay ${when[@]+"${when[@]}"}
	status=$?
	if [ $status != 137 ]; then
		bad=$((bad + 1))
		evidence "$SEED.$done" $status
		tally
		new_disk # and on with the others
		continue
	fi
	done=$((done + 1))
	"$ROOT/tests/lab/volundo.py" "$DISK" "$how" $UNIT >"$RUN/lost" || exit 1
	echo "    cut $done after $delay ms${when[0]+ of its boot}, $(sed 's/^volundo: //' "$RUN/lost"); $(
		grep -c 'under way' "$RUN/life.log") calls had been under way at the last"
done
guest end "$SEED.end"
status=$?
[ $status = 0 ] || bad=$((bad + 1))
[ $status = 0 ] || evidence "$SEED.end" $status
tally
echo "    $done power cuts, $early of them before the last one's end was examined, under $asked calls and writes ($written files), $bad bad, $((SECONDS - started)) s"
# Can it fail? A driver whose own flushes do nothing has to be found out.
control() {
	local preload
	preload=$(. "$ROOT/tests/lab/common.sh" && lab_build nosync "$TORTURE/nosync.c" -shared -fPIC) || return 1
	PRELOAD=$preload BAD_MAX=1 bash "$0" 12 >"$RUN/control" 2>&1
	grep -q '^FAIL power cut .* with status 1 ' "$RUN/control"
}

[ $bad = 0 ] || exit 1
echo "ok $CUTS power cuts: the same calls converge, what was acknowledged is there, nothing is left over"
[ -z "${PRELOAD-}" ] || exit 0
if control; then
	echo "ok control: a driver that flushes nothing is found out"
else
	sed 's/^/    /' "$RUN/control"
	echo "FAIL control: a driver that flushes nothing: not found out"
	exit 1
fi
