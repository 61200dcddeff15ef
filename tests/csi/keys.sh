#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# Kept keys: growth without the secret, a restart of the driver, others who close a mapping, a root pod.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs keyctl "$CRYPTSETUP"
[ -x "$BUILD/loopdev/keyattack" ] || skip_all "there is no $BUILD/loopdev/keyattack"
csi_state xfs 6G
csi_python keys.py
csi_nothing_left "kept keys"
