#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
# Headers edited at random: what we would map is what cryptsetup would map, or we refuse.
# FULL=1: 20,000 headers.
here=$(dirname "$(readlink -f "$0")")
. "$here/../lab/lib.sh"
need cryptsetup
[ -e "$(ldconfig -p | sed -n 's/.*libcryptsetup\.so\.12 .*=> //p' | head -1)" ] || skip_all "there is no libcryptsetup here"
"$here/mapping.py" --count "$([ -n "${FULL-}" ] && echo 20000 || echo 2000)" "$BUILD/unit/test_luks_broken" "$SCRATCH/mapping" \
	>"$SCRATCH/table" 2>&1
check_equal "edited headers: mapped as cryptsetup maps them, or refused" 0 $?
cat "$SCRATCH/table"
