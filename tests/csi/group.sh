#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# Group snapshots: calls, and consistency under a writer.
. "$(dirname "$0")/setup.bash"
need fsfreeze "$CRYPTSETUP"
csi_state xfs 3G
csi_python group.py
csi_nothing_left "group snapshots"
