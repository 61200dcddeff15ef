#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install what is missing to build, test and demonstrate cryptvol on Debian 12.
# usage: setup.sh [build|check|demo|qemu|lint|bench|csi|kubernetes]...     (default: build check)
# Says first what it is about to install and why; does nothing, fast, when nothing is missing.
set -u

declare -A WHY=(
	[build]="to compile the library and the command"
	[check]="to run the tests on a User Mode Linux kernel, with cryptsetup as the oracle"
	[demo]="to run the demonstration on a real kernel"
	[qemu]="to run tests on Debian's 6.12 kernel under QEMU"
	[lint]="for the second compiler, the static checkers, the fuzzers and the page checks"
	[bench]="to measure against cryptsetup"
	[csi]="to build the CSI driver and to call it from a client in Python"
	[kubernetes]="to run a control plane of a cluster in the guest"
)
declare -A GROUP=(
	[build]="gcc make pkg-config libc6-dev libjson-c-dev libssl-dev libkeyutils-dev libdevmapper-dev
		libblkid-dev"
	[check]="user-mode-linux cryptsetup-bin dmsetup e2fsprogs xfsprogs btrfs-progs keyutils kmod
		udev strace valgrind libargon2-dev qemu-user gcc-aarch64-linux-gnu
		libc6-dev-arm64-cross python3 python3-yaml xz-utils mount util-linux procps"
	[demo]="user-mode-linux cryptsetup-bin dmsetup e2fsprogs xfsprogs keyutils kmod mount util-linux
		python3-yaml"
	[qemu]="qemu-system-x86 busybox-static cpio kmod xz-utils cryptsetup-bin dmsetup e2fsprogs
		mount"
	[lint]="clang clang-tidy clang-format cppcheck libclang-rt-14-dev llvm mandoc"
	[csi]="libgrpc-dev libprotobuf-c-dev protobuf-c-compiler libprotobuf-dev protobuf-compiler
		libsqlite3-dev python3-grpcio python3-protobuf xfsprogs"
	[kubernetes]="iproute2 openssl"
	[bench]="libargon2-dev libgcrypt20-dev libsodium-dev user-mode-linux cryptsetup-bin dmsetup e2fsprogs kmod strace"
)

die() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# installed PACKAGE...: the names dpkg has configured, one a line
installed() {
	dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^.i  *//p'
}

main() {
	local group have pkg missing=() all=()
	[ $# -gt 0 ] || set -- build check
	for group; do
		[ -n "${GROUP[$group]-}" ] || die "no group '$group'; there are: ${!GROUP[*]}"
		read -r -d '' -a packages <<<"${GROUP[$group]}"
		all+=("${packages[@]}")
	done
	command -v dpkg-query >/dev/null ||
		die "this host has no dpkg; install these packages' contents by hand: ${all[*]}"
	have=" $(installed "${all[@]}" | tr '\n' ' ') "
	for group; do
		read -r -d '' -a packages <<<"${GROUP[$group]}"
		for pkg in "${packages[@]}"; do
			case "$have ${missing[*]-} " in *" $pkg "*) continue ;; esac
			missing+=("$pkg")
			printf 'setup: %-20s is missing (%s: %s)\n' "$pkg" "$group" "${WHY[$group]}"
		done
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null ||
		die "there is no apt-get here; install these packages: ${missing[*]}"
	[ "$(id -u)" = 0 ] ||
		die "only root can install; run: sudo apt-get install ${missing[*]}"
	printf 'setup: installing %s\n' "${missing[*]}"
	install_packages "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
}

# The package lists are refreshed only when the first attempt fails: a fresh image has none.
install_packages() {
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends
		-o DPkg::Lock::Timeout=300)
	local log
	log=$(mktemp) || return 1
	if "${apt[@]}" install "$@" </dev/null >"$log" 2>&1 ||
		{ "${apt[@]}" update >"$log" 2>&1 &&
			"${apt[@]}" install "$@" </dev/null >>"$log" 2>&1; }; then
		rm -f "$log"
		return 0
	fi
	tail -20 "$log" >&2
	rm -f "$log"
	return 1
}

main "$@"
