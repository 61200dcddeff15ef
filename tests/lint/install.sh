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

# check_not NAME FILE
check_not() {
	if [ -e "$2" ]; then
		echo "FAIL $1: $2 is there" && fails=1
	else
		echo "ok $1"
	fi
}

dest=$dir/dest
check "make install" make -s O="$BUILD" DESTDIR="$dest" PREFIX=/opt/cryptvol install
for file in sbin/cryptvol lib/libcryptvol.a lib/libcryptvol.so lib/libcryptvol.so.0 lib/pkgconfig/libcryptvol.pc \
	include/cryptvol.h share/man/man8/cryptvol.8 share/bash-completion/completions/cryptvol; do
	check "installed: $file" test -s "$dest/opt/cryptvol/$file"
done

cat >"$dir/user.c" <<'EOF'
#include <cryptvol.h>
#include <errno.h>
#include <stdio.h>

int main(void)
{
	struct cryptvol *cv;
	struct cryptvol_volume *v;
	int r;

	if (cryptvol_new(&cv) || cryptvol_volume_new(cv, "/dev/null", NULL, &v))
		return 1;
	r = cryptvol_load(v);
	printf("%d %s\n", r, cryptvol_error(cv));
	cryptvol_volume_free(v);
	cryptvol_free(cv);
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

# ---- the CSI driver ----
driver=(sbin/cryptvol-csi share/man/man8/cryptvol-csi.8 share/bash-completion/completions/cryptvol-csi
	lib/systemd/system/cryptvol-csi.service lib/udev/rules.d/60-cryptvol.rules)
if [ -x "$BUILD/cryptvol-csi" ]; then
	for file in "${driver[@]}"; do
		check "installed: $file" test -s "$dest/opt/cryptvol/$file"
	done
	check "the installed driver runs" "$dest/opt/cryptvol/sbin/cryptvol-csi" --version
	check "the unit starts what was installed" \
		grep -qxF "ExecStart=/opt/cryptvol/sbin/cryptvol-csi" "$dest/opt/cryptvol/lib/systemd/system/cryptvol-csi.service"
	check "make install DRIVER=no" make -s O="$BUILD" DESTDIR="$dir/without" PREFIX=/opt/cryptvol DRIVER=no install
	check "the CLI is there without the driver" test -x "$dir/without/opt/cryptvol/sbin/cryptvol"
	for file in "${driver[@]}"; do
		check_not "left out: $file" "$dir/without/opt/cryptvol/$file"
	done
	# shellcheck source=/dev/null
	. "$dest/opt/cryptvol/share/bash-completion/completions/cryptvol-csi"
	complete_line() {
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_cryptvol_csi
		echo "${COMPREPLY[*]}"
	}
	csi=$dest/opt/cryptvol/sbin/cryptvol-csi
	check "completion: an option" test "$(complete_line "$csi" --metrics)" = --metrics-address
	check "completion: all options" test "$(complete_line "$csi" -- | wc -w)" -ge 20
	check "completion: a value" test "$(complete_line "$csi" --mode = no)" = node
	if command -v systemd-analyze >/dev/null; then
		mkdir -p "$dir/units"
		sed "s|^ExecStart=.*|ExecStart=$csi|" "$dest/opt/cryptvol/lib/systemd/system/cryptvol-csi.service" \
			>"$dir/units/cryptvol-csi.service"
		check "systemd-analyze verify" systemd-analyze verify --man=no "$dir/units/cryptvol-csi.service"
	else
		echo "SKIP systemd-analyze verify: there is no systemd-analyze here"
	fi
else
	echo "SKIP the driver: $BUILD/cryptvol-csi isn't built (make csi)"
	check_not "no unit without the driver" "$dest/opt/cryptvol/lib/systemd/system/cryptvol-csi.service"
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
