#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# guest: -m 1024M
# The driver through its socket, by a client in Python, in the order that kubelet and the sidecars use: an encrypted volume from its
# class and Secret to its deletion, with what stock cryptsetup and a search of the image say of it.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup losetup protoc mkfs.xfs
need_target crypt
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || {
	skip "lifecycle" "python3-grpcio and python3-protobuf are missing"
	exit
}
CSI=${CRYPTVOL_CSI:-$BUILD/cryptvol-csi}
modprobe loop 2>/dev/null
modprobe xfs 2>/dev/null

STATE=$SCRATCH/var
mkdir -p "$STATE" "$SCRATCH/kubelet"
truncate -s 1536M "$SCRATCH/disk.img"
mkfs.xfs -q -m reflink=1 "$SCRATCH/disk.img"
mount -o loop "$SCRATCH/disk.img" "$STATE" || fail "the state directory's file system" "can't be mounted"

"$CSI" --endpoint="unix://$SCRATCH/csi.sock" --state-dir="$STATE" --node-id=n1 --log-level=debug --log-format=json \
	2>"$SCRATCH/driver.log" &
DRIVER=$!
/usr/bin/python3 "$ROOT/tests/csi/lifecycle.py" "$SCRATCH" "$STATE" >"$SCRATCH/results" 2>&1
STATUS=$?
while read -r word name rest; do
	case $word in
	ok) ok "$name $rest" ;;
	FAIL) fail "$name $rest" ;;
	*) echo "# $word $name $rest" ;;
	esac
done <"$SCRATCH/results"
check_equal "the client came to its end" 0 "$STATUS"
check "no passphrase is in the debug log" bash -c '! grep -q "correct horse" "$1"' _ "$SCRATCH/driver.log"
check "the requests are in the debug log" grep -q NodeStageVolume "$SCRATCH/driver.log"
kill -TERM "$DRIVER"
wait "$DRIVER"
check_equal "the driver stops in order" 0 $?
check "its socket is gone" test ! -e "$SCRATCH/csi.sock"
umount "$STATE"
nothing_left_behind "at the end"
