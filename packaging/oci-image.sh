#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An OCI image of the driver without a container engine: cryptvol-csi, the programs for file systems, modprobe, and what
# they are linked to, as one layer in an image layout (OCI image specification 1.1) that skopeo, podman and ctr read.
# usage: oci-image.sh OBJ OUTPUT                 an image layout in folder OUTPUT
#        oci-image.sh --rootfs FOLDER OBJ        only the files
# SOURCE_DATE_EPOCH (0 if unset) dates everything: the same input gives the same digests.
set -euo pipefail

TOP=$(cd "$(dirname "$0")/.." && pwd)
EPOCH=${SOURCE_DATE_EPOCH:-0}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
# What the driver runs (src/fs/make.c, src/dm/modules.c); xfs and btrfs are checked by their own mount.
PROGRAMS="mkfs.ext4 mkfs.ext3 fsck.ext4 fsck.ext3 resize2fs mkfs.xfs xfs_growfs mkfs.btrfs btrfs modprobe"

die() {
	printf 'oci-image: %s\n' "$*" >&2
	exit 1
}

# libraries FILE: paths of all shared objects that it needs, the loader too
libraries() {
	local out
	out=$(ldd "$1" 2>&1) || return 0 # a static program
	grep -q 'not found' <<<"$out" && die "$1: $(grep 'not found' <<<"$out" | tr -s '\t\n' ' ')"
	sed -nE 's/^.* => (\/[^ ]+) .*$/\1/p; s/^\t(\/[^ ]+) \(.*$/\1/p' <<<"$out"
}

# put FILE PATH: a copy, where links lead is what is copied
put() {
	install -D -m "$(stat -L -c %a "$1")" "$1" "$root$2"
}

add_program() {
	local file=$1 path=$2 lib
	put "$file" "$path"
	while read -r lib; do
		[ -e "$root$lib" ] || put "$lib" "$lib"
	done < <(libraries "$file")
}

# Debian 12 has /bin, /sbin and /lib below /usr; so has this image, and libraries keep the paths that programs look for.
make_rootfs() {
	local name file
	mkdir -p "$root"/usr/{bin,sbin,lib,lib64,share} "$root"/{dev,etc,proc,sys,run,csi,var/lib,tmp}
	chmod 1777 "$root/tmp"
	for name in bin sbin lib lib64; do
		ln -s "usr/$name" "$root/$name"
	done
	add_program "$OBJ/cryptvol-csi" /usr/sbin/cryptvol-csi
	[ ! -x "$OBJ/cryptvol" ] || add_program "$OBJ/cryptvol" /usr/sbin/cryptvol
	for name in $PROGRAMS; do
		file=$(command -v "$name") || die "$name isn't installed here (e2fsprogs, xfsprogs, btrfs-progs, kmod)"
		add_program "$file" "/usr/sbin/$name"
	done
	[ ! -e /etc/mke2fs.conf ] || put /etc/mke2fs.conf /etc/mke2fs.conf
	printf 'root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n' >"$root/etc/passwd"
	printf 'root:x:0:\ndisk:x:6:\nnonroot:x:65532:\n' >"$root/etc/group"
	mkdir -p "$root/usr/share/doc/cryptvol"
	put "$TOP/LICENSE" /usr/share/doc/cryptvol/LICENSE
	chmod 644 "$root"/etc/* "$root/usr/share/doc/cryptvol/LICENSE"
}

# blob FILE: moves it to its name, prints digest and size
blob() {
	local sum
	sum=$(sha256sum "$1" | cut -d' ' -f1)
	mv "$1" "$OUT/blobs/sha256/$sum"
	chmod 644 "$OUT/blobs/sha256/$sum"
	printf '%s %s\n' "$sum" "$(stat -c %s "$OUT/blobs/sha256/$sum")"
}

make_image() {
	local version arch diff layer layer_size config config_size manifest manifest_size created
	version=$("$OBJ/cryptvol-csi" --version | cut -d' ' -f2)
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	*) arch=$(uname -m) ;;
	esac
	created=$(date -u -d "@$EPOCH" +%Y-%m-%dT%H:%M:%SZ)
	mkdir -p "$OUT/blobs/sha256"
	tar -C "$root" --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -cf "$work/layer.tar" .
	diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
	gzip -n "$work/layer.tar"
	read -r layer layer_size < <(blob "$work/layer.tar.gz")
	cat >"$work/config" <<-END
		{"architecture":"$arch","os":"linux","created":"$created",
		"config":{"Entrypoint":["/usr/sbin/cryptvol-csi"],"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/",
		"Labels":{"org.opencontainers.image.title":"cryptvol-csi","org.opencontainers.image.version":"$version",
		"org.opencontainers.image.licenses":"Apache-2.0"}},
		"rootfs":{"type":"layers","diff_ids":["sha256:$diff"]},
		"history":[{"created":"$created","created_by":"packaging/oci-image.sh"}]}
	END
	read -r config config_size < <(blob "$work/config")
	cat >"$work/manifest" <<-END
		{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},
		"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$layer_size}]}
	END
	read -r manifest manifest_size < <(blob "$work/manifest")
	printf '{"imageLayoutVersion":"1.0.0"}\n' >"$OUT/oci-layout"
	cat >"$OUT/index.json" <<-END
		{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
		"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,
		"platform":{"architecture":"$arch","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"$version"}}]}
	END
	printf 'cryptvol-csi %s for %s: sha256:%s, layer of %s bytes\n' "$version" "$arch" "$manifest" "$layer_size"
}

main() {
	local only=
	if [ "${1-}" = --rootfs ]; then
		[ $# = 3 ] || die "usage: oci-image.sh --rootfs FOLDER OBJ"
		only=$2
		OBJ=$3
	else
		[ $# = 2 ] || die "usage: oci-image.sh OBJ OUTPUT"
		OBJ=$1
		OUT=$2
		[ ! -e "$OUT" ] || die "$OUT is there already"
	fi
	[ -x "$OBJ/cryptvol-csi" ] || die "$OBJ/cryptvol-csi isn't built (make csi)"
	if [ -n "$only" ]; then
		[ ! -e "$only" ] || die "$only is there already"
		root=$only
		make_rootfs
		return
	fi
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	root=$work/rootfs
	make_rootfs
	make_image
}

umask 022
main "$@"
