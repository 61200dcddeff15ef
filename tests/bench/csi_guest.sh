#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest: the driver beside the shell pipeline. Figures as one line of JSON. usage: csi_guest.sh ROUNDS
. "$(dirname "$(readlink -f "$0")")/../csi/setup.bash"
need cryptsetup mkfs.ext4
csi_state xfs 6G
csi_python ../bench/csi_guest.py "$1"
