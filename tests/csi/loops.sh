#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 1500
# Lifecycle loops.
. "$(dirname "$0")/setup.bash"
csi_state xfs 6G
csi_python loops.py
csi_nothing_left "lifecycle loops"
