#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The entry points stand in the Makefile itself, are in `make help`, and set up the machine before anything else: what make would run
# first is setup.sh, then a second make.
set -u
cd "$(dirname "$0")/../.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL # of a make check that runs this
help=$(make -s help)
failed=0
for target in check check-full demo bench torture; do
	problem=
	grep -qE "^$target:.*## .*\(installs " Makefile || problem="the Makefile has no rule with help that says what it installs"
	grep -q "^  $target " <<<"$help" || problem="make help doesn't list it"
	first=$(make -n "$target" 2>/dev/null)
	first=${first%%$'\n'*}
	[[ $first == tests/lab/setup.sh\ build* ]] || problem="it begins with \"$first\", not with the set-up"
	if [ -z "$problem" ]; then echo "ok entry: make $target"; else
		echo "FAIL entry: make $target: $problem"
		failed=1
	fi
done
exit $failed
