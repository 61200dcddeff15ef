# SPDX-License-Identifier: Apache-2.0
# Manifests, chart and examples on a real control plane with the real sidecars. Other people's programs are built from Go's module proxy, once
# (a quarter of an hour on two cores): part of `make check-full`, not of `make check`.

KUBE_TOOLS := $(O)/kubernetes
KUBE_MODULES := control-plane etcd helm provisioner snapshotter resizer crds

.PHONY: check-kubernetes kubernetes-tools
check-kubernetes: ## manifests, chart and examples on a real control plane, with the real sidecars
	tests/lab/setup.sh build check csi kubernetes
	$(MAKE) kubernetes-tools csi lab-tools
	KUBE_TOOLS=$(abspath $(KUBE_TOOLS)) tests/run -o $(RESULTS) tests/kubernetes/cluster.sh
kubernetes-tools:
	tests/kubernetes/build.sh $(KUBE_TOOLS) $(KUBE_MODULES)

ifeq ($(FULL),1)
KERNEL_TESTS_EXTRA += tests/kubernetes/cluster.sh
check-all: kubernetes-tools
endif
