#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 300
# Secrets in the driver's memory and log.
. "$(dirname "$0")/setup.bash"
need "$CRYPTSETUP"
csi_state xfs 3G
csi_python leaks.py
csi_nothing_left "secrets"
