#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# guest: -e TEST_PROGRAM
# The command lines of storage drivers and boot scripts, with ours first on PATH as "cryptsetup":
# exit statuses and the texts that they parse. TEST_PROGRAM tries another program.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need_target crypt
PROGRAM=${TEST_PROGRAM:-$CRYPTVOL}

mkdir "$SCRATCH/bin" && ln -s "$(readlink -f "$PROGRAM")" "$SCRATCH/bin/cryptsetup" || exit 1
PATH=$SCRATCH/bin:$PATH
DEV=$(make_loop 24M)
NAME=driver
P="a pass phrase"

# blank: the device as it comes to a driver that has not seen it
blank() {
	dd if=/dev/zero of="$DEV" bs=1M count=24 conv=fsync status=none
}

# field NAME: a status line's value, as the drivers cut it out
field() {
	cryptsetup status "$NAME" | sed -n "s/^ *$1: *//p" | sed 's/ *$//'
}

closed() {
	check_status "$1: status of what is closed" 4 cryptsetup status "$NAME"
	check_says "$1: status says so" "^/dev/mapper/$NAME is inactive\\.$" cryptsetup status "$NAME"
}

longhorn() {
	local format=(cryptsetup -q luksFormat --type luks2 --cipher aes-xts-plain64 --hash sha256
		--key-size 256 --pbkdf argon2i)
	blank
	check_status "Longhorn: isLuks of a blank device" 1 cryptsetup isLuks "$DEV"
	check "Longhorn: format" pass "$P" "${format[@]}" "$DEV" -d -
	check "Longhorn: format, costs given" pass "$P" "${format[@]}" --pbkdf-force-iterations 4 \
		--pbkdf-memory 32768 "$DEV" -d -
	check "Longhorn: isLuks" cryptsetup isLuks "$DEV"
	check_status "Longhorn: open with a wrong passphrase" 2 pass wrong cryptsetup luksOpen "$DEV" $NAME -d -
	check_says "Longhorn: the words for it" "No key available with this passphrase" \
		pass wrong cryptsetup luksOpen "$DEV" $NAME -d -
	check "Longhorn: open" pass "$P" cryptsetup luksOpen "$DEV" $NAME -d -
	check_status "Longhorn: open again" 5 pass "$P" cryptsetup luksOpen "$DEV" $NAME -d -
	check_equal "Longhorn: type" LUKS2 "$(field type)"
	check_equal "Longhorn: device" "$DEV" "$(field device)"
	check "Longhorn: resize, passphrase on standard input" pass "$P" cryptsetup resize $NAME
	check_status "Longhorn: resize, a wrong one" 2 pass wrong cryptsetup resize $NAME
	check "Longhorn: refresh" pass "$P" cryptsetup --allow-discards --persistent refresh $NAME
	check_equal "Longhorn: flags" discards "$(field flags)"
	check "Longhorn: close" cryptsetup luksClose $NAME
	check_status "Longhorn: close again" 4 cryptsetup luksClose $NAME
	closed Longhorn
	device_gone
}

# What Longhorn meets when its iSCSI target dies: the mapping stays, the device under it is gone.
device_gone() {
	local disk
	if ! modprobe -q -a sd_mod || ! modprobe -q scsi_debug dev_size_mb=24 || ! disk=$(scsi_disk); then
		skip "Longhorn: device that is gone" "this kernel has no scsi_debug"
		return
	fi
	check "Longhorn: format a disk" pass "$P" cryptsetup -q luksFormat "${FAST_KDF[@]}" "/dev/$disk" -d -
	check "Longhorn: open a disk" pass "$P" cryptsetup luksOpen "/dev/$disk" $NAME -d -
	check_equal "Longhorn: device" "/dev/$disk" "$(field device)"
	echo 1 >"/sys/block/$disk/device/delete"
	check_equal "Longhorn: device that is gone" "(null)" "$(field device)"
	check "Longhorn: close what lost its device" cryptsetup luksClose $NAME
	modprobe -r scsi_debug
}

# scsi_disk: the name of scsi_debug's disk, once it is there
scsi_disk() {
	local f limit=$((SECONDS + 5))
	while [ $SECONDS -lt $limit ]; do
		for f in /sys/block/sd*/device/model; do
			[ "$(<"$f")" = "scsi_debug      " ] || continue
			f=${f#/sys/block/} f=${f%%/*}
			[ -b "/dev/$f" ] && echo "$f" && return
		done
		sleep 0.1
	done
	return 1
}

ceph_csi() {
	printf %s "$P" >"$SCRATCH/key"
	printf %s "new $P" >"$SCRATCH/new"
	local k=(cryptsetup --verbose "--key-file=$SCRATCH/key") n=(cryptsetup --verbose "--key-file=$SCRATCH/new")
	blank
	check "ceph-csi: format" pass "$P" cryptsetup -q luksFormat --type luks2 --hash sha256 \
		--pbkdf-memory 32768 "$DEV" -d -
	check "ceph-csi: open" pass "$P" cryptsetup luksOpen "$DEV" $NAME --disable-keyring -d -
	check_equal "ceph-csi: key location" dm-crypt "$(field 'key location')"
	check "ceph-csi: resize with no passphrase" cryptsetup resize $NAME </dev/null
	check "ceph-csi: add a key" "${k[@]}" --key-slot=1 luksAddKey "$DEV" "$SCRATCH/new"
	check_status "ceph-csi: add into a slot that is taken" 1 "${k[@]}" --key-slot=1 luksAddKey "$DEV" \
		"$SCRATCH/new"
	check_says "ceph-csi: the words for it" "Key slot 1 is full" "${k[@]}" --key-slot=1 luksAddKey \
		"$DEV" "$SCRATCH/new"
	check "ceph-csi: a key is verified by changing it to itself" "${n[@]}" --key-slot=1 luksChangeKey \
		"$DEV" "$SCRATCH/new"
	check_status "ceph-csi: verify a key that is not the slot's" 2 "${k[@]}" --key-slot=1 luksChangeKey \
		"$DEV" "$SCRATCH/key"
	check_says "ceph-csi: the words for it" "No key available with this passphrase\\." "${k[@]}" \
		--key-slot=1 luksChangeKey "$DEV" "$SCRATCH/key"
	check "ceph-csi: kill the old key" "${n[@]}" luksKillSlot "$DEV" 0
	check_says "ceph-csi: kill it again" "Keyslot 0 is not active\\." "${n[@]}" luksKillSlot "$DEV" 0
	check_equal "ceph-csi: type" LUKS2 "$(field type)"
	check "ceph-csi: close" cryptsetup luksClose $NAME
	closed ceph-csi
}

# The two that format LUKS1: ours refuses by name and touches nothing; what they do with a LUKS2
# volume works.
refuses_luks1() {
	local name=$1
	shift
	[ -z "${TEST_PROGRAM-}" ] || return 0
	check_status "$name: LUKS1 is refused" 1 pass "$P" "$@"
	check_says "$name: by its name" '[Ll][Uu][Kk][Ss]1' pass "$P" "$@"
	check_status "$name: nothing was written" 1 cryptsetup isLuks "$DEV"
}

hetzner() {
	blank
	refuses_luks1 Hetzner cryptsetup luksFormat --type luks1 "$DEV"
	check "Hetzner: format LUKS2" pass "$P" cryptsetup luksFormat -q "${FAST_KDF[@]}" "$DEV"
	check "Hetzner: open" pass "$P" cryptsetup luksOpen --allow-discards "$DEV" $NAME
	check_equal "Hetzner: flags" discards "$(field flags)"
	check "Hetzner: resize" pass "$P" cryptsetup resize $NAME
	check "Hetzner: status" cryptsetup status $NAME
	check "Hetzner: close" cryptsetup luksClose $NAME
	closed Hetzner
}

scaleway() {
	blank
	check "Scaleway: format" pass "$P" cryptsetup -q luksFormat --hash sha256 --cipher aes-xts-plain64 \
		--key-size 256 "$DEV" --key-file -
	check "Scaleway: open" pass "$P" cryptsetup luksOpen "$DEV" $NAME --key-file -
	check "Scaleway: isLuks" cryptsetup isLuks "$DEV"
	check "Scaleway: resize" pass "$P" cryptsetup resize $NAME --key-file -
	check_equal "Scaleway: device" "$DEV" "$(field device)"
	check "Scaleway: close" cryptsetup luksClose $NAME
	closed Scaleway
}

cloudscale() {
	printf %s "$P" >"$SCRATCH/key"
	blank
	refuses_luks1 cloudscale cryptsetup -v --batch-mode --type=luks1 --cipher aes-xts-plain64 \
		--key-size 512 --key-file "$SCRATCH/key" luksFormat "$DEV"
	check "cloudscale: format LUKS2" cryptsetup -v --batch-mode --type=luks2 --cipher aes-xts-plain64 \
		--key-size 512 --key-file "$SCRATCH/key" "${FAST_KDF[@]}" luksFormat "$DEV"
	check "cloudscale: open" cryptsetup --batch-mode luksOpen --key-file "$SCRATCH/key" "$DEV" $NAME
	check "cloudscale: resize" pass "$P" cryptsetup resize $NAME
	check_equal "cloudscale: cipher" aes-xts-plain64 "$(field cipher)"
	check "cloudscale: close" cryptsetup --batch-mode close $NAME
	closed cloudscale
}

initramfs() {
	blank
	check "initramfs: format" pass "$P" cryptsetup -q luksFormat "${FAST_KDF[@]}" \
		--uuid 01234567-89ab-4cde-8f01-23456789abcd "$DEV" -d -
	check "initramfs: isLuks" cryptsetup isLuks --type luks2 "$DEV"
	check_status "initramfs: it is no LUKS1" 1 cryptsetup isLuks --type luks1 "$DEV"
	check_equal "initramfs: UUID" 01234567-89ab-4cde-8f01-23456789abcd "$(cryptsetup luksUUID "$DEV")"
	check_status "initramfs: a wrong passphrase" 2 pass wrong \
		cryptsetup -T 1 --type=luks --key-file=- open -- "$DEV" $NAME
	check "initramfs: open" pass "$P" cryptsetup -T 1 --type=luks --key-file=- open -- "$DEV" $NAME
	check "initramfs: close" cryptsetup close $NAME
	check_status "initramfs: a device that is not there" 4 pass "$P" \
		cryptsetup -T 1 --type=luks --key-file=- open -- "$SCRATCH/none" $NAME
	closed initramfs
}

for driver in ${*:-longhorn ceph_csi hetzner scaleway cloudscale initramfs}; do
	$driver
done
losetup -d "$DEV"
nothing_left_behind "after all"
