#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# The main job on a real kernel: a CSI client provisions an encrypted volume through the driver's socket, as Kubernetes does from a
# StorageClass and a Secret; what lies where is shown, a wrong secret harms nothing, stock cryptsetup opens the same volume.
# Run by `make demo`; it ends with the first step that fails.
. "$(dirname "$0")/../csi/setup.bash"
need cryptsetup dmsetup losetup mkfs.ext4 mkfs.xfs
modprobe loop 2>/dev/null
modprobe xfs 2>/dev/null
csi_state xfs 2G
csi_python ../demo/driver.py
[ "$FAILS" = 0 ] && umount "$SCRATCH/csi" && csi_nothing_left "no mapping, loop device, key, lock or mount"
