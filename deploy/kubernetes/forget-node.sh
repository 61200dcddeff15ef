#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# forget-node.sh [--yes] NODE: what the cluster still has of the volumes of a node that is gone for good. Only the node's own driver
# deletes its volumes, so without it their PersistentVolumes and snapshots stay for ever. Without --yes they are listed only. What is
# still claimed, or kept by its policy, is listed and kept: delete the claims and VolumeSnapshots first. Backups stay in their store.
set -eu
DRIVER=${DRIVER:-csi.cryptvol.io}
KUBECTL=${KUBECTL:-kubectl}
YES=
[ "${1-}" != --yes ] || { YES=1 && shift; }
[ $# = 1 ] && [ "${1#-}" = "$1" ] || { sed -n '3,5s/^# //p' "$0" >&2 && exit 2; }
NODE=$1

# A node that is back, or only down, has its volumes: here they would be forgotten with their data on it.
if [ -n "$($KUBECTL get node "$NODE" --ignore-not-found -o name)" ]; then
	echo "node $NODE is there; this is for a node that was deleted (kubectl delete node $NODE)" >&2
	exit 1
fi

# volumes: NAME PHASE POLICY, one a line, of those that live on the node and nowhere else
volumes() {
	$KUBECTL get pv -o go-template='{{range .items}}{{$v := .}}{{with .spec.csi}}{{if eq .driver "'"$DRIVER"'"}}'`
		`'{{with $v.spec.nodeAffinity}}{{range .required.nodeSelectorTerms}}{{range .matchExpressions}}'`
		`'{{if eq .key "'"$DRIVER/node"'"}}{{range .values}}{{if eq . "'"$NODE"'"}}'`
		`'{{$v.metadata.name}} {{$v.status.phase}} {{$v.spec.persistentVolumeReclaimPolicy}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}'
}

# forget KIND NAME: without the driver's finalizers, which only the node's driver would take away
forget() {
	[ "$YES" ] || { echo "$1 $2: to be forgotten" && return; }
	$KUBECTL delete "$1" "$2" --wait=false
	[ -z "$($KUBECTL get "$1" "$2" --ignore-not-found -o name)" ] ||
		$KUBECTL patch "$1" "$2" --type=merge -p '{"metadata":{"finalizers":null}}'
}

volumes | while read -r name phase policy; do
	case $phase/$policy in
	Released/Delete | Failed/Delete | Available/Delete) forget pv "$name" ;;
	*) echo "pv $name: $phase, reclaim policy $policy: kept" ;;
	esac
done
if $KUBECTL get crd volumesnapshotcontents.snapshot.storage.k8s.io >/dev/null 2>&1; then
	for name in $($KUBECTL get volumesnapshotcontents -l "snapshot.storage.kubernetes.io/managed-by=$NODE" \
		-o go-template='{{range .items}}{{if eq .spec.driver "'"$DRIVER"'"}}{{if .metadata.deletionTimestamp}}'`
			`'{{.metadata.name}} {{end}}{{end}}{{end}}'); do
		forget volumesnapshotcontent "$name"
	done
fi
[ "$YES" ] || echo "nothing was changed; --yes does it"
