#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh FOLDER MODULE...: build the programs of tools/MODULE (helm, a control plane, the sidecars: other people's, pinned there) into the
# cache, once for each state of the module, and link to them from FOLDER. Where that can't be, FOLDER/why says so, and the status is 0: the
# rest can be tested.
set -u
. "$(dirname "$(readlink -f "$0")")/../lab/common.sh"
TOOLS=$(dirname "$(readlink -f "$0")")/tools

FOLDER=$1
shift
mkdir -p "$FOLDER" && rm -f "$FOLDER"/* || exit 1

# give_up WHY
give_up() {
	echo "$1" | tee "$FOLDER/why" >&2
	exit 0
}

# copy_crds FOLDER: the definitions of the custom resources that our manifests use
copy_crds() {
	local line
	sed -n 's/^\t\([^ ]*\) \(v.*\)/\1@\2/p' go.mod | while read -r line; do
		"${GO:-go}" mod download "${line%@*}" &&
			find "$("${GO:-go}" list -m -f '{{.Dir}}' "${line%@*}")" \( -path '*/config/crd/*snapshot*.yaml' -o \
				-path '*/prometheus-operator-crd/*_servicemonitors.yaml' \) -exec install -m 644 -t "$1" {} + || exit 1
	done
	ls "$1"/*.yaml
}

# build_module NAME
build_module() {
	local module=$TOOLS/$1 state out wanted have
	state=$(cat "$module/go.mod" "$module/go.sum" | cksum) || exit 1
	out=$(lab_cache)/kubernetes-$1-${state%% *} || exit 1
	if [ ! -e "$out/done" ]; then
		wanted=$(sed -n 's/^go //p' "$module/go.mod")
		have=$(GOTOOLCHAIN=local "${GO:-go}" env GOVERSION 2>/dev/null)
		if [ -z "$have" ] || [ "$(printf '%s\n' "$wanted" "${have#go}" | sort -V | head -n 1)" != "$wanted" ]; then
			give_up "$1 needs Go $wanted or newer, found: ${have:-none}"
		fi
		echo "building $1 (once)" >&2
		mkdir -p "$out"
		(cd "$module" && export GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false' CGO_ENABLED=0 GOBIN="$out" &&
			if [ "$1" = crds ]; then copy_crds "$out"; else "${GO:-go}" install -trimpath -ldflags='-s -w' tool; fi) >"$out/log" 2>&1 ||
			give_up "$1 can't be built: $(tail -n 1 "$out/log")"
		: >"$out/done"
	fi
	find "$out" -type f ! -name log ! -name done -exec ln -sf -t "$FOLDER" {} +
}

for name; do
	build_module "$name"
done
