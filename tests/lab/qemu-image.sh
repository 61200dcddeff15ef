#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Prepare what qemu-run boots: Debian's newest 6.12 cloud kernel and an initramfs with the programs
# that the tests use. Both are kept in the cache folder. Prints the two paths; 77 if there is no
# kernel to be had here.
set -eu
. "$(dirname "$(readlink -f "$0")")/common.sh"
CACHE=$(lab_cache)
SERIES=${LAB_KERNEL_SERIES:-6.12}

# Programs taken from the host as they are; busybox does the rest.
PROGRAMS="bash cryptsetup dmsetup losetup mount umount blkid blockdev mkfs.ext4 mke2fs e2fsck resize2fs
	modprobe keyctl setpriv strace grep sed cmp rm mktemp dd stat truncate sync ls sha256sum timeout"
MODULE_DIRS="kernel/crypto kernel/arch/x86/crypto kernel/lib kernel/drivers/md kernel/security/keys
	kernel/fs/xfs kernel/drivers/block/virtio_blk.ko kernel/drivers/block/loop.ko kernel/drivers/block/brd.ko"

unavailable() {
	echo "qemu-image: $*" >&2
	exit 77
}

# The kernel's folder in the cache, unpacked there if it is not yet.
kernel_root() {
	local have package dir
	have=$(find "$CACHE" -maxdepth 1 -type d -name "linux-image-$SERIES.*-cloud-amd64" | sort -V | tail -n 1)
	[ -z "$have" ] || { echo "$have" && return; }
	local pattern="^linux-image-${SERIES//./\\.}\.[0-9.+a-z]*-cloud-amd64\$"
	package=$(apt-cache search --names-only "$pattern" 2>/dev/null | cut -d' ' -f1 | sort -V | tail -n 1)
	if [ -z "$package" ]; then
		apt-get -q update >&2 || true
		package=$(apt-cache search --names-only "$pattern" | cut -d' ' -f1 | sort -V | tail -n 1)
	fi
	[ -n "$package" ] || unavailable "apt lists no $SERIES cloud kernel here"
	dir=$(mktemp -d "$CACHE/fetch.XXXXXX")
	chmod 755 "$dir"
	(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2) ||
		unavailable "$package can't be downloaded"
	dpkg -x "$dir"/*.deb "$dir/root"
	mv -T "$dir/root" "$CACHE/$package" 2>/dev/null || true
	rm -rf "$dir"
	echo "$CACHE/$package"
}

# copy_program PATH...: into the image, with the libraries that it loads
copy_program() {
	local file lib
	for file; do
		mkdir -p "$IMAGE$(dirname "$file")"
		cp -L "$file" "$IMAGE$file"
		for lib in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
			[ -e "$IMAGE$lib" ] && continue
			mkdir -p "$IMAGE$(dirname "$lib")"
			cp -L "$lib" "$IMAGE$lib"
		done
	done
}

copy_modules() {
	local root=$1 version=$2 from=$1/lib/modules/$2 to=$IMAGE/lib/modules/$2 part
	for part in $MODULE_DIRS; do
		(cd "$from" && find . -path "./$part*" -name '*.ko*' -print0 |
			cpio -0 --quiet -pdm "$to")
	done
	# Expanded here: the guest's processor is an emulated one.
	find "$to" -name '*.xz' -print0 | xargs -0r xz -d
	cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
	depmod -b "$IMAGE" "$version"
}

write_init() {
	cat >"$IMAGE/init" <<'I'
#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm /run/out /sys/fs/cgroup
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ifconfig lo up
modprobe virtio_blk
tar xf /dev/vda -C /
stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
/bin/bash /lab/command </dev/null >/dev/ttyS1 2>/dev/ttyS2
echo $? >/run/out/rc
tar cf /dev/vdb -C /run/out .
sync
poweroff -f
I
	chmod 755 "$IMAGE/init"
}

build_image() {
	local root=$1 version=$2 out=$3 name link
	IMAGE=$(mktemp -d)
	trap 'rm -rf "$IMAGE"' EXIT
	mkdir -p "$IMAGE"/{proc,sys,dev,run,tmp,mnt,root,etc,usr/{bin,sbin,lib,lib64}}
	for link in bin sbin lib lib64; do
		ln -s "usr/$link" "$IMAGE/$link"
	done
	for name in $PROGRAMS; do
		[ -z "${FOUND[$name]}" ] || copy_program "${FOUND[$name]}"
	done
	copy_program /bin/busybox
	for name in $(busybox --list); do
		[ -e "$IMAGE/usr/bin/$name" ] || [ -e "$IMAGE/usr/sbin/$name" ] ||
			ln -s busybox "$IMAGE/usr/bin/$name"
	done
	ln -sf ../bin/bash "$IMAGE/usr/bin/sh"
	# Loaded by name at run time: for the end of a thread, and for old ciphers.
	copy_program "$(readlink -f /lib/x86_64-linux-gnu/libgcc_s.so.1)"
	cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$IMAGE/usr/lib/x86_64-linux-gnu/"
	mkdir -p "$IMAGE/usr/lib/x86_64-linux-gnu/ossl-modules"
	cp /usr/lib/x86_64-linux-gnu/ossl-modules/*.so "$IMAGE/usr/lib/x86_64-linux-gnu/ossl-modules/"
	mkdir -p "$IMAGE/usr/lib/locale"
	cp -r /usr/lib/locale/C.utf8 "$IMAGE/usr/lib/locale/"
	echo 'root:x:0:0:root:/root:/bin/bash' >"$IMAGE/etc/passwd"
	copy_modules "$root" "$version"
	write_init
	(cd "$IMAGE" && find . -print0 | cpio -0 --quiet -o -H newc) >"$out.$$"
	mv "$out.$$" "$out"
}

main() {
	local root version out sum name
	for name in qemu-system-x86_64 busybox cpio xz depmod; do
		command -v "$name" >/dev/null || lab_die "there is no $name here; run tests/lab/setup.sh qemu"
	done
	root=$(kernel_root)
	version=$(ls "$root/lib/modules")
	declare -gA FOUND=()
	for name in $PROGRAMS; do
		FOUND[$name]=$(PATH=/usr/sbin:/usr/bin command -v "$name") || true
	done
	sum=$( (cat "$0" && stat -L -c '%n %s %Y' "${FOUND[@]}" 2>/dev/null) | cksum | cut -d' ' -f1)
	out=$CACHE/qemu-$version-$sum.cpio
	[ -e "$out" ] || build_image "$root" "$version" "$out"
	printf '%s\n%s\n' "$root/boot/vmlinuz-$version" "$out"
}

main
