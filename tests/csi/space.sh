#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 7200
# What is promised on a small disk is held: no sequence of calls and writes gets a pod an I/O error.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs
csi_state ext4 4G
csi_python space.py
csi_nothing_left "space"
