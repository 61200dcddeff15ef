# SPDX-License-Identifier: Apache-2.0
# kill -9 of the driver at each of its calls, and power cuts under work. `make check` runs a sample of each, by a fixed SEED.

HOST_TESTS_EXTRA += tests/torture/cuts.sh

.PHONY: torture-run
torture-run: all csi lab-tools
	tests/lab/kernel-run -m 1024M -t 7200 -M "loop dm-crypt ecb xts xfs" -e FULL=1 -- tests/csi/torture.sh
	FULL=1 tests/torture/cuts.sh
