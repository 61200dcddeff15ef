#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest, for cuts.sh: the disk with the volatile cache as the driver's state directory.
[ -z "${EARLY-}" ] || touch "$LAB_OUT/armed"
# What is written reaches the disk soon, flushed or not.
echo 5 >/proc/sys/vm/dirty_writeback_centisecs
echo 5 >/proc/sys/vm/dirty_expire_centisecs
export SCRATCH=/tmp/cuts GRPC_ENABLE_FORK_SUPPORT=0 PYTHONDONTWRITEBYTECODE=1
rm -f "$LAB_OUT/driver.log"
mkdir -p $SCRATCH/csi && loop=$(losetup -f --show "$LAB_OUT/disk.img") && mount -t xfs "$loop" $SCRATCH/csi || exit 1
exec /usr/bin/python3 "$(dirname "$0")/cuts.py" "$1"
