#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A newer Debian suite's cryptsetup beside the installed one: unpacked apart with its libraries and
# started by its own loader, nothing of it installed. Prints the path of a wrapper to call in its
# place; 77 where no newer suite is served here.
# usage: newer-cryptsetup.sh [SUITE]...    (the first that is served; default: forky trixie)
set -u
. "$(dirname "$(readlink -f "$0")")/common.sh"
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
CACHE=$(lab_cache) || exit

unavailable() {
	echo "newer-cryptsetup: $*" >&2
	exit 77
}

# The mirror that this host's own apt uses.
mirror() {
	sed -n -e 's/^URIs: *\([^ ]*\/debian\)\/* *$/\1/p' \
		-e 's/^deb \(\[[^]]*\] \)\?\([^ ]*\/debian\)\/* .*/\2/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1
}

# An apt of its own: other sources, other lists, the host's state untouched.
private_apt() {
	local suite=$1
	mkdir -p "$WORK"/{lists/partial,archives/partial,debs}
	echo "deb [signed-by=$KEYRING] $(mirror) $suite main" >"$WORK/sources.list"
	cat >"$WORK/apt.conf" <<C
Dir::Etc::sourcelist "$WORK/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$WORK/lists";
Dir::State::status "/dev/null";
Dir::Cache "$WORK";
Dir::Cache::pkgcache "packages.bin";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
C
	export APT_CONFIG=$WORK/apt.conf
}

# The packages that these need, by names that have a file (a merely provided name has none).
packages_of() {
	local names
	names=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$@" | grep '^[a-z]' | sort -u)
	apt-cache --no-all-versions show $names 2>/dev/null | sed -n 's/^Package: //p' | sort -u
}

# fetch SUITE: unpack into $WORK/root
fetch() {
	local suite=$1 package list
	rm -rf "$WORK/lists" "$WORK/debs"
	private_apt "$suite"
	apt-get -q update >"$WORK/log" 2>&1 || return 1
	list=$(packages_of cryptsetup-bin) && [ -n "$list" ] || return 1
	(cd "$WORK/debs" && apt-get -q download $list) >>"$WORK/log" 2>&1 || return 1
	mkdir -p "$WORK/root"
	for package in "$WORK"/debs/*.deb; do
		dpkg -x "$package" "$WORK/root" || return 1
	done
}

# write_wrapper FILE ROOT: the wrapper FILE for what is, or will be, unpacked below ROOT
write_wrapper() {
	local file=$1 root=$2
	cat >"$file" <<W
#!/bin/sh
export OPENSSL_MODULES=$root/usr/lib/x86_64-linux-gnu/ossl-modules
exec $root/usr/lib64/ld-linux-x86-64.so.2 --argv0 cryptsetup \\
	--library-path $root/usr/lib/x86_64-linux-gnu $root/usr/sbin/cryptsetup "\$@"
W
	chmod 755 "$file"
}

[ $# -gt 0 ] || set -- forky trixie
for suite; do
	final=$CACHE/cryptsetup-$suite
	[ ! -x "$final/cryptsetup" ] || { echo "$final/cryptsetup" && exit 0; }
done
command -v apt-get >/dev/null && [ -r "$KEYRING" ] || unavailable "there is no apt with Debian's keys"
[ -n "$(mirror)" ] || unavailable "apt's sources name no Debian mirror"
WORK=$(mktemp -d) || exit 1
trap 'rm -rf "$WORK"' EXIT
for suite; do
	final=$CACHE/cryptsetup-$suite
	fetch "$suite" || continue
	write_wrapper "$WORK/try" "$WORK/root"
	"$WORK/try" --version >"$WORK/log" 2>&1 || continue
	write_wrapper "$WORK/root/cryptsetup" "$final"
	chmod 755 "$WORK/root"
	mv -T "$WORK/root" "$final" 2>/dev/null || [ -x "$final/cryptsetup" ] || exit 1
	echo "$final/cryptsetup"
	exit 0
done
unavailable "no newer suite ($*) is served here, or its cryptsetup does not start: $(tail -n 1 "$WORK/log")"
