# SPDX-License-Identifier: Apache-2.0
# Conformance: a folder of images judged by ours and by the cryptsetup that is installed.

IMAGES ?= tests/images

# With dm-crypt (this host's or a guest's) plaintexts are compared too.
conformance: $(CLI) ## judge a folder of images by ours and by the installed cryptsetup: IMAGES=DIR
	$(Q)dir='$(abspath $(IMAGES))'; \
	if [ "$$(tests/lab/kernel-run -k)" = host ] || command -v linux.uml >/dev/null; then \
		tests/lab/kernel-run -t 900 -- tests/conformance/run.py -v "$$dir"; \
	else \
		echo "no kernel with dm-crypt here: plaintexts are not compared"; \
		tests/conformance/run.py -v "$$dir"; \
	fi
.PHONY: conformance

# A second oracle for tests/interop/matrix.sh. Where no newer suite is served there is none, and that is no failure.
check-all check-kernel: newer-cryptsetup
newer-cryptsetup: ## find a newer Debian suite's cryptsetup, unpacked apart, for the interop tests
	$(Q)mkdir -p $(O)
	$(Q)tests/lab/newer-cryptsetup.sh >$(O)/newer-cryptsetup || [ $$? = 77 ]
.PHONY: newer-cryptsetup
