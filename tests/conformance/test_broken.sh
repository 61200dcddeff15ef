#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# The table of broken headers as images, put before both programs' command lines: what
# is LUKS, and who dumps them.
# FULL=1 asks for UUIDs and metadata too.
here=$(dirname "$(readlink -f "$0")")
. "$here/../lab/lib.sh"
need cryptsetup
only=(--only luksDump --only isLuks)
[ -z "${FULL-}" ] || only=()
check "the table can be written as images" "$here/broken.py" "$BUILD/unit/test_luks_broken" "$SCRATCH/broken" ||
	exit
"$here/run.py" ${only[@]+"${only[@]}"} "$SCRATCH/broken" >"$SCRATCH/table"
check_equal "broken headers: judged as the table says" 0 $?
grep '^FAIL' "$SCRATCH/table"
check "broken headers: none was left out" \
	test "$(grep -c '^ok\|^FAIL' "$SCRATCH/table")" = "$(ls "$SCRATCH"/broken/*.json | wc -l)"
