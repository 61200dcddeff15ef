#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1500
# Static analysis and sanitizers, a result a step: each is a make target of its own, so that one can be run by hand.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-$PWD/obj}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bad=0

step() {
	local name=$1
	shift
	if "$@" >"$log" 2>&1; then
		echo "ok static: $name"
	else
		echo "FAIL static: $name: $(grep -aE 'error|warning|FAIL|ERROR' "$log" | head -3 | tr '\n' ' ')"
		tail -30 "$log" | sed 's/^/# /'
		bad=1
	fi
}

export MAKEFLAGS= BUILD
step "clang, warnings are errors" make O="$BUILD/clang" CC=clang all unit
step "gcc -fanalyzer" make O="$BUILD" lint-analyzer
step "cppcheck" make O="$BUILD" lint-cppcheck
step "clang-tidy" make O="$BUILD" lint-tidy
step "unit tests under ASan and UBSan" make O="$BUILD/asan" SAN=address,undefined check-unit
step "unit tests under TSan" make O="$BUILD/tsan" SAN=thread ROOMS='base crypto' check-unit
step "argon2's vectors with libargon2 in our core's place" bash -c '
	make O="$BUILD/libargon2" ARGON2=libargon2 ROOMS="base crypto" "$BUILD/libargon2/unit/test_crypto_argon2" &&
	"$BUILD/libargon2/unit/test_crypto_argon2"'
step "fuzz corpus, under ASan and UBSan" make O="$BUILD/asan" SAN=address,undefined check-fuzz
step "broken headers shown to cryptsetup" make O="$BUILD" check-broken
exit $bad
