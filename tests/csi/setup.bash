# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests of the CSI driver: a file system for its state, Python's runs, and an end that leaves nothing.
#
#   . "$(dirname "$0")/setup.bash"
#   csi_state xfs 4G
#   csi_python plan.py

. "$(dirname "${BASH_SOURCE[0]}")/../lab/lib.sh"
CSI_TESTS=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
CRYPTVOL_CSI=${CRYPTVOL_CSI:-$BUILD/cryptvol-csi}
export CRYPTVOL_CSI SCRATCH

need_root
need dmsetup losetup keyctl
need_target crypt
[ -x "$CRYPTVOL_CSI" ] || skip_all "the driver isn't built ($CRYPTVOL_CSI); make csi builds it"
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null ||
	skip_all "there is no python3-grpcio here"

# csi_state FSTYPE SIZE: the state directory's file system, $SCRATCH/csi. Its image lies beside the results: a
# guest's own memory would be too small for it.
csi_state() {
	local mkfs=(-q)
	STATE_IMAGE=${LAB_OUT:-$SCRATCH}/csi-state.$$
	rm -f "$STATE_IMAGE"
	truncate -s "$2" "$STATE_IMAGE" && mkdir -p "$SCRATCH/csi" || exit 1
	[ "$1" != xfs ] || mkfs+=(-m reflink=1)
	"mkfs.$1" "${mkfs[@]}" "$STATE_IMAGE" >"$SCRATCH/mkfs" 2>&1 &&
		mount -t "$1" -o loop "$STATE_IMAGE" "$SCRATCH/csi" ||
		{ cat "$SCRATCH/mkfs" && fail "state directory" "no $1 of $2 can be made and mounted" && exit 1; }
}

# csi_python SCRIPT [ARGUMENT]...: its lines are results of their own
csi_python() {
	local status name=$1
	shift
	GRPC_ENABLE_FORK_SUPPORT=0 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
		/usr/bin/python3 "$CSI_TESTS/$name" "$@" 2>&1 | tee "$SCRATCH/python.out"
	status=${PIPESTATUS[0]}
	if [ "$status" = 0 ]; then
		OKS=$((OKS + 1)) # its own lines tell of them
	elif grep -q '^FAIL ' "$SCRATCH/python.out"; then
		FAILS=$((FAILS + 1))
	else
		fail "$name" "it ended with status $status"
	fi
}

# csi_nothing_left NAME: as nothing_left_behind, the state's own file system apart
csi_nothing_left() {
	nothing_left_behind "$1" "csi-state\\.$$"
}

# Drivers of ours that still run (the Python side writes their ids), then what lib.sh takes away.
csi_cleanup() {
	local status=$? pid
	for pid in $(cat "$SCRATCH/pids" 2>/dev/null); do
		case $(readlink "/proc/$pid/exe") in "$CRYPTVOL_CSI") kill -9 "$pid" ;; esac
	done
	[ -z "${STATE_IMAGE-}" ] || rm -f "$STATE_IMAGE"
	(exit "$status")
	lab_cleanup
}
trap csi_cleanup EXIT
