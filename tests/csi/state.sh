#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# What the driver tells of its state: volumes by state, orphans, what was cut short; quotas.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs xfs_quota
csi_state xfs 3G
csi_python state.py
csi_nothing_left "state"
