#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 768M
# timeout: 300
# A full or failing disk, and a file system with errors, are told of: health calls, condition, metrics, log.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs
csi_state ext4 2G
csi_python health.py
csi_nothing_left "health"
