#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# Codes, fields, sizes, names, lists and capabilities of the calls.
. "$(dirname "$0")/setup.bash"
csi_state xfs 2G
csi_python calls.py
csi_nothing_left "calls"
