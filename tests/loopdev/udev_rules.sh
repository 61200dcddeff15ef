#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# packaging/udev/60-cryptvol.rules under a real udevd: the driver's loop devices and mappings are probed by nobody, and
# others still are.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need dmsetup losetup udevadm mkfs.ext4 cryptsetup
need_target crypt
RULES=$(cd "$(dirname "$0")/../.." && pwd)/packaging/udev/60-cryptvol.rules
[ -e /lib/udev/rules.d/60-persistent-storage.rules ] || skip_all "udev's own rules aren't here"

udevd=
end_udevd() {
	[ -z "$udevd" ] || { kill -KILL "$udevd"; wait "$udevd"; } 2>/dev/null
	[ -z "$udevd" ] || rm -f /run/udev/control
	rm -f /run/udev/rules.d/60-cryptvol.rules
}
trap 'cryptsetup close pvc-1.0123abcd 2>/dev/null; cryptsetup close other-1 2>/dev/null; end_udevd; lab_cleanup' EXIT
mkdir -p /run/udev/rules.d
cp "$RULES" /run/udev/rules.d/
if udevadm control --ping --timeout=2 2>/dev/null; then
	udevadm control --reload
else
	rm -f /run/udev/control
	for program in /lib/systemd/systemd-udevd /usr/lib/systemd/systemd-udevd; do
		[ -x "$program" ] && break
	done
	[ -x "$program" ] || skip_all "there is no systemd-udevd here"
	"$program" --resolve-names=never >"$SCRATCH/udevd.log" 2>&1 &
	udevd=$!
	tries=0
	while [ ! -S /run/udev/control ] && ((tries++ < 100)); do sleep 0.1; done
	udevadm control --ping --timeout=10 2>/dev/null || skip_all "udevd doesn't answer"
fi

# attach FILE: a loop device that stays until lab_cleanup, on which udev has done all that it does
loops=()
attach() {
	loop=$(losetup --find --show "$1") || return
	loops+=("$loop")
	udevadm trigger --action=change --settle "$loop"
}
properties() {
	udevadm info --query=property "$1"
}
links() {
	udevadm info --query=symlink "$1"
}

mkdir -p "$SCRATCH/images/volumes"
ours=$SCRATCH/images/volumes/pvc-1.0123abcd.img other=$SCRATCH/images/volumes/other.img
truncate -s 24M "$ours" "$other"
mkfs.ext4 -q -F -L cv-other "$other" && mkfs.ext4 -q -F -L cv-ours "$ours" || exit 1

attach "$other"
check_says "another's image is probed" "^ID_FS_LABEL=cv-other" properties "$loop"
check_says "another's image has its link" "disk/by-label/cv-other" links "$loop"
attach "$ours"
check_says "the driver's image is hidden from udisks" "^UDISKS_IGNORE=1" properties "$loop"
check_equal "the driver's image isn't probed" "" "$(properties "$loop" | grep -E '^ID_FS_(LABEL|TYPE|UUID)=.')"
check_equal "no link leads to it" "" "$(links "$loop" | grep -o 'by-label[^ ]*')"

echo -n secret >"$SCRATCH/key"
# mapping NAME: a LUKS2 volume with ext4 in it, opened under that name
mapping() {
	local file=$SCRATCH/$1.luks
	truncate -s 40M "$file"
	cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$file" "$SCRATCH/key" &&
		cryptsetup open --key-file "$SCRATCH/key" "$file" "$1" && mkfs.ext4 -q -F -L "in-${1%%.*}" "/dev/mapper/$1" &&
		udevadm trigger --action=change --settle "$(readlink -f "/dev/mapper/$1")"
}
check "a mapping of somebody else's" mapping other-1
check_says "it is probed" "^ID_FS_LABEL=in-other-1" properties "$(readlink -f /dev/mapper/other-1)"
check "a mapping of the driver's" mapping pvc-1.0123abcd
dev=$(readlink -f /dev/mapper/pvc-1.0123abcd)
check_says "it has its link below /dev/mapper" "mapper/pvc-1.0123abcd" links "$dev"
check_says "others' rules are off" "^DM_UDEV_DISABLE_OTHER_RULES_FLAG=1" properties "$dev"
check_equal "it isn't probed" "" "$(properties "$dev" | grep -E '^ID_FS_(LABEL|TYPE|UUID)=.')"

for name in other-1 pvc-1.0123abcd; do
	check "close $name" cryptsetup close $name
done
for loop in "${loops[@]}"; do
	check "detach $loop" losetup -d "$loop"
done
end_udevd
nothing_left_behind "at the end"
