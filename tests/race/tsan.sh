#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# The driver under ThreadSanitizer, on this host: real gRPC, real records in a scratch folder, sixteen calls at a time, SIGTERM in
# the middle of them. And the lock table's unit test. FULL=1: five minutes.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-$PWD/obj}
TSAN=$BUILD/tsan-csi
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || { echo "SKIP tsan: there is no python3-grpcio here"; exit 77; }
[ -x "$TSAN/cryptvol-csi" ] || { echo "FAIL tsan: $TSAN/cryptvol-csi isn't built; make check-race builds it"; exit 1; }

seconds=25
[ -z "${FULL-}" ] || [ "$FULL" = 0 ] || seconds=300
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
bad=0
port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

verdict() {
	if [ "$2" = 0 ]; then
		echo "ok $1"
	else
		echo "FAIL $1: $3"
		bad=1
	fi
}

export TSAN_OPTIONS="exitcode=66 suppressions=$PWD/tests/race/tsan.supp print_suppressions=1 second_deadlock_stack=1 history_size=4 log_path=$dir/race"

reports() {
	cat "$dir"/race.* 2>/dev/null | grep -c '^WARNING: ThreadSanitizer'
}

"${CRYPTVOL:-$BUILD/cryptvol}" backup --init "$dir/backups" >"$dir/init" 2>&1
verdict "tsan: a store of backups" $? "$(cat "$dir/init")"
# -R: the sanitizer's layout of memory and the host's randomness may not agree.
setarch -R "$TSAN/unit/test_csi_locks" >"$dir/locks" 2>&1
verdict "tsan: lock table" $? "$(grep -m1 -hs '^FAIL\|^SUMMARY' "$dir/locks" "$dir"/race.*)"
rm -f "$dir"/race.*

setarch -R env LD_PRELOAD="$BUILD/race/preload.so" "$TSAN/cryptvol-csi" --endpoint="unix://$dir/csi.sock" --state-dir="$dir/state" --node-id=node-1 \
	--log-level=debug --workers=16 --backup-dir="$dir/backups" --metrics-address="127.0.0.1:$port" 2>"$dir/log" &
pid=$!
for _ in $(seq 300); do
	grep -q 'event="serving"' "$dir/log" && break
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.1
done
/usr/bin/python3 tests/race/calls.py "$dir/csi.sock" "$seconds" "127.0.0.1:$port" >"$dir/calls" 2>&1
verdict "tsan: calls are answered" $? "$(tail -n 3 "$dir/calls" | tr '\n' ' ')"
sed 's/^/# /' "$dir/calls"

# Told to stop while calls come in.
/usr/bin/python3 tests/race/calls.py "$dir/csi.sock" 3 >/dev/null 2>&1 &
client=$!
sleep 2
kill -TERM "$pid"
wait "$pid"
status=$?
pid=
wait "$client"
verdict "tsan: no race in the driver" "$(reports)" "$(grep -hs -m3 '^SUMMARY' "$dir"/race.* | tr '\n' ' ')"
verdict "tsan: it stops as it should" "$([ $status = 0 ] || [ $status = 66 ]; echo $?)" "status $status: $(tail -n 1 "$dir/log")"
# Without a single suppressed report from the library the sanitizer wasn't at work.
grep -q 'race:lib' "$dir"/race.* 2>/dev/null
verdict "tsan: the sanitizer was at work" $? "no suppression was ever used"
[ "$bad" = 0 ] || cat "$dir"/race.* 2>/dev/null | head -n 150
exit $bad
