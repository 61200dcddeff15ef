#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Our description of CSI against the specification's own Go module, and the log's table of secret fields against both.
. "$(dirname "$0")/setup.bash"
UPSTREAM=$BUILD/csi-go-tools/descriptor
[ -x "$UPSTREAM" ] || skip_all "$(cat "$BUILD/csi-go-tools/why" 2>/dev/null || echo "make csi-go-tools builds it")"
need protoc

cd "$SCRATCH" || exit 1
check "protoc reads our csi.proto" protoc --descriptor_set_out=ours.desc -I"$ROOT/src/csi/proto" -I/usr/include csi.proto
check "the Go module's descriptor" bash -c '"$1" >upstream.desc' _ "$UPSTREAM"
csi_python descriptor.py ours.desc upstream.desc "$ROOT/src/csi/describe.c"
