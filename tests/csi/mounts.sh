#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 200
# What a pod may ask of its mount: the group of its files.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs setpriv chattr
csi_state xfs 3G
csi_python mounts.py
csi_nothing_left "mounts"
