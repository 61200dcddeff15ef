#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# Backups by the driver: stores that hang, are locked, or hold what isn't ours; no reflinks here.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 "$CRYPTSETUP"
csi_state ext4 3G
csi_python backups.py
csi_nothing_left "backups"
