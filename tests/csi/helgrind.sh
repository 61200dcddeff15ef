#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 900
# The driver under helgrind on a real kernel, with volumes formatted, staged, grown, rotated, copied and unstaged at the same time.
. "$(dirname "$0")/setup.bash"
need valgrind
[ -e "$BUILD/race/preload.so" ] || skip_all "$BUILD/race/preload.so isn't built; make check-race builds it"
csi_state xfs 2G
csi_python helgrind.py
csi_nothing_left "helgrind"
