# SPDX-License-Identifier: Apache-2.0
# The CSI driver's tests: kernel tests, and what Go programs they need (the project's conformance suite, the specification's descriptor).

CHECK_BINARIES += csi-go-tools

# Built into the cache once; the links say where. No Go that is new enough: said once, and the tests that need them skip themselves.
.PHONY: csi-go-tools check-csi
csi-go-tools:
	$(Q)tests/csi/sanity/build.sh $(O)/csi-go-tools

check-csi: all csi $(CHECK_BINARIES) lab-tools ## the CSI driver's tests on a real kernel
	tests/run -o $(RESULTS) $(wildcard tests/csi/*.sh)
