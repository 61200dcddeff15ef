#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 1024M
# timeout: 400
# The server under its calls: the wire, deadlines, kills, concurrency, the socket, signals, options.
. "$(dirname "$0")/setup.bash"
need blkid
csi_state xfs 3G
csi_python server.py
csi_nothing_left "the server"
