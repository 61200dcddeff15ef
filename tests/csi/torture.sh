#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 3600
# kill -9 of the driver at every system call that changes state.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 "$CRYPTSETUP"
"${CC:-cc}" -O2 -o "$SCRATCH/killat" "$CSI_TESTS/killat.c" || exit 1
export KILLAT=$SCRATCH/killat
csi_state xfs 2G
csi_python torture.py
csi_nothing_left "torture"
