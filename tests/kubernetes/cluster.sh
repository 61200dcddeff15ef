#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guest: -m 4096M
# timeout: 3000
# The manifests, the chart and the examples on a real control plane, with the sidecars that they name.
. "$(dirname "$0")/../csi/setup.bash"
KUBE_TOOLS=${KUBE_TOOLS:-$BUILD/kubernetes}
export KUBE_TOOLS
[ -x "$KUBE_TOOLS/kube-apiserver" ] || skip_all "$(cat "$KUBE_TOOLS/why" 2>/dev/null || echo "no control plane: make kubernetes-tools builds it")"
need openssl ip cryptsetup
modprobe loop 2>/dev/null
ip link set lo up
csi_state xfs 16G
csi_python ../kubernetes/cluster.py
csi_nothing_left "cluster"
