#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# Calls that were cut short, lost records, and calls that meet at one volume.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs "$CRYPTSETUP"
"${CC:-cc}" -O2 -o "$SCRATCH/killat" "$CSI_TESTS/killat.c" || exit 1
export KILLAT=$SCRATCH/killat
csi_state xfs 4G
csi_python interrupted.py
csi_nothing_left "calls that were cut short"
