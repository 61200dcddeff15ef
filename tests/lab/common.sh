# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What uml-run, qemu-run and kernel-run share: the cache folder, tools built on demand, the environment.

LAB=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

lab_die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 2
}

# The folder for what is made once and kept: built helpers, kernels, unpacked packages.
lab_cache() {
	local dir=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cryptvol
	mkdir -p "$dir" || lab_die "can't make the cache folder $dir"
	readlink -f "$dir"
}

# lab_build OUTPUT-NAME SOURCE FLAGS...: compile SOURCE into the cache once for each of its states;
# prints the path. Two at a time don't harm each other: the result is moved into its place.
lab_build() {
	local name=$1 source=$2 sum out cache
	shift 2
	cache=$(lab_cache) || exit
	sum=$(cksum <"$source") || exit
	out=$cache/$name-${sum%% *}
	if [ ! -x "$out" ]; then
		${CC:-gcc} -O2 -Wall -o "$out.$$" "$source" "$@" >&2 ||
			lab_die "can't compile $source"
		mv "$out.$$" "$out"
	fi
	echo "$out"
}

# The environment that a test sees in a guest, NUL-separated. A list of what may pass: PATH and the
# like are the host's own, and whatever else the caller holds is none of the guest's business.
# lab_env [NAME[=VALUE]]...: these pass too.
lab_env() {
	local name
	for name in $(compgen -e); do
		case $name in
		CRYPTVOL* | BUILD | TEST_* | *SAN_OPTIONS | LANG | LC_* | LD_LIBRARY_PATH | SEED | FULL | IMAGES)
			printf '%s=%s\0' "$name" "${!name}"
			;;
		esac
	done
	for name; do
		case $name in
		*=*) printf '%s\0' "$name" ;;
		*) [ -z "${!name+x}" ] || printf '%s=%s\0' "$name" "${!name}" ;;
		esac
	done
}

# What the kernel writes when something is wrong with it.
LAB_COMPLAINT='Kernel panic|BUG:|Oops|WARNING: |general protection|blocked for more than'
LAB_COMPLAINT+='|rcu: INFO: .* stall|Segfault with no mm|UBSAN:|guest-init: sync did not end'
