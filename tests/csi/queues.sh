#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# Calls that hang hold up no others: the queues of the driver, with devices that are suspended.
. "$(dirname "$0")/setup.bash"
need mkfs.ext4 dmsetup
csi_state xfs 2G
csi_python queues.py
csi_nothing_left "queues"
