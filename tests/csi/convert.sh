#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# A file system's volume taken as a block volume, and the other way round; nothing is ever formatted for it.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 mkfs.xfs blkid
csi_state xfs 3G
csi_python convert.py
csi_nothing_left "conversion"
