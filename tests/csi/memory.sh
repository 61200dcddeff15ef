#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# The driver in little memory, by control group v2.
. "$(dirname "$0")/setup.bash"
grep -q cgroup2 /proc/filesystems || skip_all "this kernel has no control groups v2"
# A host whose controllers are taken elsewhere (another hierarchy, a container) can't be asked.
mkdir -p "$SCRATCH/probe" && mount -t cgroup2 none "$SCRATCH/probe" || skip_all "control groups can't be mounted here"
grep -qw memory "$SCRATCH/probe/cgroup.controllers" || skip_all "there is no memory controller for control groups v2 here"
umount "$SCRATCH/probe"
csi_state xfs 3G
csi_python memory.py
csi_nothing_left "memory"
