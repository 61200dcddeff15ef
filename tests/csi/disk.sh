#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 600
# The disk of the state directory: full, failing, absent, another one; on ext4, xfs and btrfs.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs
need_target error
csi_state ext4 4G
csi_python disk.py
csi_nothing_left "disk"
