#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh FOLDER: build csi-sanity and a descriptor program for each CSI version that we serve into the cache, once for
# each state of this module, and link to them from FOLDER. Where that can't be, FOLDER/why says so and the status is 0: the rest can be tested.
set -u
. "$(dirname "$(readlink -f "$0")")/../../lab/common.sh"
HERE=$(dirname "$(readlink -f "$0")")
SUITE=github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity

FOLDER=$1
mkdir -p "$FOLDER" && rm -f "$FOLDER"/{why,csi-sanity,descriptor,descriptor-1.12} || exit 1

# give_up WHY
give_up() {
	echo "$1" | tee "$FOLDER/why" >&2
	exit 0
}

state=$(cat "$HERE"/{go.mod,go.sum,spec-1.12.mod,spec-1.12.sum,tools.go,descriptor/main.go} | cksum) || exit 1
out=$(lab_cache)/csi-go-${state%% *} || exit 1
if [ ! -e "$out/done" ]; then
	wanted=$(sed -n 's/^go //p' "$HERE/go.mod")
	have=$(GOTOOLCHAIN=local "${GO:-go}" env GOVERSION 2>/dev/null)
	if [ -z "$have" ] || [ "$(printf '%s\n' "$wanted" "${have#go}" | sort -V | head -n 1)" != "$wanted" ]; then
		give_up "csi-sanity needs Go $wanted or newer, found: ${have:-none}"
	fi
	mkdir -p "$out"
	if ! (cd "$HERE" && export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 &&
		"${GO:-go}" build -trimpath -o "$out/csi-sanity" "$SUITE" &&
		"${GO:-go}" build -trimpath -o "$out/descriptor" ./descriptor &&
		"${GO:-go}" build -trimpath -modfile=spec-1.12.mod -o "$out/descriptor-1.12" ./descriptor) >"$out/log" 2>&1; then
		give_up "csi-sanity can't be built: $(tail -n 1 "$out/log")"
	fi
	: >"$out/done"
fi
ln -sf "$out/csi-sanity" "$out/descriptor" "$out/descriptor-1.12" "$FOLDER/"
