#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# Argon2's core for 64-bit ARM, compiled for it and run under qemu-user.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-$PWD/obj}

if ! command -v qemu-aarch64 aarch64-linux-gnu-gcc >/dev/null; then
	echo "SKIP arm64: qemu-user or the cross compiler isn't installed"
	exit 77
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! MAKEFLAGS='' make O="$BUILD" "$BUILD/arm64/argon2" >"$log" 2>&1; then
	echo "FAIL arm64: it doesn't compile: $(grep -aE 'error|warning' "$log" | head -3 | tr '\n' ' ')"
	exit 1
fi
exec qemu-aarch64 "$BUILD/arm64/argon2"
