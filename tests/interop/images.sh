#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# Each image that we ship, opened on a kernel by ours and by cryptsetup: the same plaintext, and
# what has to be refused is. FULL=1 asks everything (the other answers need no dm-crypt, and
# tests/conformance/test_images.sh has them).
here=$(dirname "$(readlink -f "$0")")
only=(--only plaintext --only refusal)
[ -z "${FULL-}" ] || only=()
exec /usr/bin/python3 "$here/../conformance/run.py" ${only[@]+"${only[@]}"} "$here/../images"
