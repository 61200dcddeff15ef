#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# The enhancement document's test plan, T1 to T9.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs "$CRYPTSETUP"
csi_state xfs 6G
csi_python plan.py
csi_nothing_left "the plan"
