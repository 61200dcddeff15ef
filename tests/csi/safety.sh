#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# Data that must never be lost: formats, stale mappings, headers, sizes.
. "$(dirname "$0")/setup.bash"
need_target linear error
need mkfs.ext4 mkfs.xfs mkfs.btrfs filefrag "$CRYPTSETUP"
csi_state xfs 4G
csi_python safety.py
csi_nothing_left "safety"
