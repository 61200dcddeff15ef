// Pinned; ../../build.sh copies custom resource definitions out of these.
module cryptvol.invalid/crds

go 1.24.0

require (
	github.com/kubernetes-csi/external-snapshotter/client/v8 v8.7.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
