#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# Publications, expansion, two nodes, rotation, copies.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs debugfs dumpe2fs keyctl "$CRYPTSETUP"
csi_state xfs 6G
csi_python uses.py
csi_nothing_left "uses"
