#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Our description of CSI against the specification's own Go modules, 1.13 and 1.12, and the log's table of secret fields against them.
. "$(dirname "$0")/setup.bash"
UPSTREAM=$BUILD/csi-go-tools
[ -x "$UPSTREAM/descriptor-1.12" ] || skip_all "$(cat "$BUILD/csi-go-tools/why" 2>/dev/null || echo "make csi-go-tools builds it")"
need protoc

cd "$SCRATCH" || exit 1
check "protoc reads our csi.proto" protoc --descriptor_set_out=ours.desc -I"$ROOT/src/csi/proto" -I/usr/include csi.proto
check "the Go module's descriptor, 1.13" bash -c '"$1" >1.13.desc' _ "$UPSTREAM/descriptor"
check "the Go module's descriptor, 1.12" bash -c '"$1" >1.12.desc' _ "$UPSTREAM/descriptor-1.12"
csi_python descriptor.py "$ROOT/src/csi/describe.c" ours.desc 1.13.desc 1.12.desc
