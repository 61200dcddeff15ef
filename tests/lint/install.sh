#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install into an empty folder, a program built against it by pkg-config, make uninstall: nothing is left.
# timeout: 300

set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-obj}
for program in make cc pkg-config; do
	command -v "$program" >/dev/null || { echo "SKIP install: there is no $program here" && exit 77; }
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fails=0

check() {
	local name=$1 status
	shift
	"$@" >"$dir/output" 2>&1
	status=$?
	if [ $status = 0 ]; then
		echo "ok $name"
	else
		sed 's/^/    /' "$dir/output"
		echo "FAIL $name: status $status: $*"
		fails=1
	fi
}

dest=$dir/dest
check "make install" make -s O="$BUILD" DESTDIR="$dest" PREFIX=/opt/cryptvol install
for file in sbin/cryptvol lib/libcryptvol.a lib/libcryptvol.so lib/libcryptvol.so.0 lib/pkgconfig/libcryptvol.pc \
	include/cryptvol/volume.h share/man/man8/cryptvol.8 share/bash-completion/completions/cryptvol; do
	check "installed: $file" test -s "$dest/opt/cryptvol/$file"
done

cat >"$dir/user.c" <<'EOF'
#include <cryptvol/base.h>
#include <cryptvol/volume.h>
#include <stdio.h>

int main(void)
{
	struct volume_env env = { 0 };
	struct volume_where w = { .device = "/dev/null" };
	struct luks_header *h;
	struct err e = { 0 };
	int r = volume_load_header(&env, &w, true, &h, &e);

	printf("%d %s\n", r, err_text(&e));
	return r == -ENOTBLK ? 0 : 1;
}
EOF
export PKG_CONFIG_PATH=$dest/opt/cryptvol/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
# shellcheck disable=SC2046
check "a program by pkg-config" cc -o "$dir/user" "$dir/user.c" $(pkg-config --cflags --libs libcryptvol)
check "it runs" env LD_LIBRARY_PATH="$dest/opt/cryptvol/lib" "$dir/user"
unset PKG_CONFIG_SYSROOT_DIR
static=$(PKG_CONFIG_PATH=$dest/opt/cryptvol/lib/pkgconfig pkg-config --static --libs libcryptvol | sed "s|-L/opt|-L$dest/opt|")
# shellcheck disable=SC2086
check "the same, static library" cc -I"$dest/opt/cryptvol/include" -o "$dir/user-static" "$dir/user.c" \
	${static/-lcryptvol/-l:libcryptvol.a} -pthread
check "it runs too" "$dir/user-static"
check "the installed CLI runs" "$dest/opt/cryptvol/sbin/cryptvol" --version
linked=$(ldd "$dest/opt/cryptvol/sbin/cryptvol" | grep -oE '^\s+\S+\.so\S*' | grep -vE 'linux-vdso|libc\.so|ld-linux|libdl|libm\.so' | tr -d '\t\n')
if [ -z "$linked" ]; then
	echo "ok the CLI needs nothing but libc"
else
	echo "FAIL the CLI needs nothing but libc: $linked"
	fails=1
fi

check "make uninstall" make -s O="$BUILD" DESTDIR="$dest" PREFIX=/opt/cryptvol uninstall
left=$(find "$dest" ! -type d)
if [ -z "$left" ]; then
	echo "ok nothing is left"
else
	echo "FAIL nothing is left: $left"
	fails=1
fi
exit $fails
