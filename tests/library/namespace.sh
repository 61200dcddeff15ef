#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The library and an application share one process: every name that is global in our objects but no part of the promise may be the
# application's own. Here the application has all of them, each ends it when it is called, and it still formats and opens a volume.
. "$(dirname "$0")/../lab/lib.sh"
need gcc nm cryptsetup

INTERNAL=$SCRATCH/internal
nm --defined-only -g "$BUILD/rooms.a" 2>/dev/null | awk '$2 ~ /[TDBRC]/ { print $3 }' | grep -v '^cryptvol_' | sort -u >"$INTERNAL"
check "there are names to be taken" test "$(wc -l <"$INTERNAL")" -gt 150
check "a name that libsodium has is among them" grep -qx crypto_hash "$INTERNAL"
{
	echo '#include <unistd.h>'
	while read -r name; do
		printf 'void %s(void);\nvoid %s(void)\n{\n\t_exit(86);\n}\n' "$name" "$name"
	done <"$INTERNAL"
} >"$SCRATCH/taken.c"
check "an application with all those names" gcc -std=gnu17 -fno-builtin -w -c -o "$SCRATCH/taken.o" "$SCRATCH/taken.c"
check "the application itself, as strict C11" \
	gcc -std=c11 -pedantic -Wall -Wextra -Werror -I"$ROOT/include" -c -o "$SCRATCH/use.o" "$ROOT/tests/library/use.c"
if command -v g++ >/dev/null; then
	echo '#include <cryptvol.h>' >"$SCRATCH/header.cc"
	check "the header is C++, too" g++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I"$ROOT/include" "$SCRATCH/header.cc"
fi

# runs NAME PROGRAM: on an image of its own, which stock cryptsetup opens with either passphrase then
runs() {
	local image
	image=$(make_image 20M)
	check "$1: it formats, opens and adds a passphrase" "$2" "$image"
	check "$1: cryptsetup opens it with the first" pass "first passphrase" cryptsetup open --test-passphrase -d - "$image"
	check "$1: cryptsetup opens it with the second" pass "second passphrase" cryptsetup open --test-passphrase -d - "$image"
}

check "linked to the shared library" gcc -rdynamic -o "$SCRATCH/shared" "$SCRATCH/use.o" "$SCRATCH/taken.o" -L"$BUILD" -lcryptvol
export LD_LIBRARY_PATH=$BUILD
runs "shared library" "$SCRATCH/shared"
check "linked to the static library" gcc -rdynamic -o "$SCRATCH/static" "$SCRATCH/use.o" "$SCRATCH/taken.o" \
	"$BUILD/libcryptvol.a" -ljson-c -lcrypto -lkeyutils -lblkid -ldl -pthread
runs "static library" "$SCRATCH/static"
check_equal "no call inside the library goes by a symbol that others may take" "" \
	"$(readelf -rW "$BUILD/libcryptvol.so" | awk '{ print $5 }' | sed 's/@.*//' | grep -Fx -f "$INTERNAL")"
