#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The dm room's verbs against the kernel, with dmsetup as the judge.
. "$(dirname "$0")/../lab/lib.sh"
need_root
need dmsetup losetup
need_target crypt linear error
PROBE=$BUILD/loopdev/dm_probe
[ -x "$PROBE" ] || skip_all "there is no $PROBE"

# "major:minor" of a device node
number() {
	local hex
	hex=$(stat -Lc '%t:%T' "$1") && printf '%d:%d\n' "0x${hex%:*}" "0x${hex#*:}"
}
export DM_DISABLE_UDEV=1

loop=$(make_loop 16M) loop2=$(make_loop 16M)
dev=$(number "$loop") dev2=$(number "$loop2")
n=cvdm$$ m=cvdm$$-new
key=$(printf '%0128d' 7)
big=$(printf 'ab%.0s' {1..64})

# the table as dmsetup sees it, and as we read it
same_table() {
	check_equal "$1: dmsetup's table" "$3" "$(dmsetup table --showkeys "$2" | sed 's/ $//')"
	check_equal "$1: our table" "$3" "$("$PROBE" table "$2")"
}

# --- version, targets
check_equal "version of crypt" "$(dmsetup targets | sed -n 's/^crypt *v//p')" "$("$PROBE" version crypt)"
check_says "a target that no kernel has" "EHOSTDOWN.*no nonesuch target.*dm_nonesuch" "$PROBE" version nonesuch
check_says "supported flags" "^no_read_workqueue$" "$PROBE" supports

# --- create and its failures
check "create linear" "$PROBE" create $n CV-TEST-1 "0 2048 linear $dev 8"
same_table "linear" $n "0 2048 linear $dev 8"
check_equal "node leads to the mapping" "$(dmsetup info -c --noheadings -o major,minor $n)" \
	"$(number /dev/mapper/$n)"
check_says "info" "^$n CV-TEST-1 .* open=0 targets=1 live$" "$PROBE" info $n
check_says "list" "^$n " "$PROBE" list
check_equal "deps" "$dev" "$("$PROBE" deps $n)"
check_says "the name is taken" "EEXIST.*named $n exists" "$PROBE" create $n CV-TEST-2 "0 8 linear $dev 0"
check_says "the UUID is taken" "EEXIST.*UUID CV-TEST-1 exists" "$PROBE" create $m CV-TEST-1 "0 8 linear $dev 0"
check_equal "nothing of the failed ones" "$n" "$("$PROBE" list | grep -o "^cvdm$$[^ ]*")"

instance=$("$PROBE" instance $n)
check_says "instance" "^CV-TEST-1(@[0-9]+)?$" echo "$instance"

# --- reload, suspend, resume, events
check "reload with two targets" "$PROBE" reload $n "0 1024 linear $dev2 0" "1024 4096 error"
same_table "two targets" $n "0 1024 linear $dev2 0
1024 4096 error"
check_equal "size after the reload" 5120 "$(blockdev --getsz /dev/mapper/$n)"
check "suspend" "$PROBE" suspend $n
check_says "suspended" " suspended" "$PROBE" info $n
check "resume" "$PROBE" resume $n
check_says "resumed" "targets=2 live$" "$PROBE" info $n
event=$("$PROBE" info $n | sed 's/.*event=\([0-9]*\).*/\1/')
check_status "wait while nothing happens" 124 timeout 1 "$PROBE" wait $n "$event"
dmsetup rename $n $m
check "wait for what has happened" timeout 20 "$PROBE" wait $m "$event"
dmsetup rename $m $n

# --- rename
check "rename" "$PROBE" rename $n $m
check_equal "old node is gone, new one is there" "no yes" \
	"$([ -e /dev/mapper/$n ] && echo yes || echo no) $([ -b /dev/mapper/$m ] && echo yes || echo no)"
check_says "no mapping of the old name" "ENODEV: there is no mapping named $n" "$PROBE" info $n
check "rename back" "$PROBE" rename $m $n

# --- clear. dm-ima of a kernel that measures (6.12.117, Debian's) forgets on a rename that the cleared table shares the
# mapping's description, and the next load or removal frees it twice: no renames from here to the end of this mapping.
check "load" "$PROBE" load $n "0 9000 linear $dev 0"
check_says "an inactive table" " inactive" "$PROBE" info $n
check "clear" "$PROBE" clear $n
check_says "no inactive table" " live$" "$PROBE" info $n

# --- a reload that fails leaves the old table live
before=$(dmsetup table $n)
check_says "a table that the kernel refuses" "EINVAL.*refused the table" "$PROBE" reload $n "0 99999999 linear $dev 0"
check_says "a device that isn't there" "ENODEV.*doesn't exist" "$PROBE" reload $n "0 8 linear 240:77 0"
check_equal "the old table" "$before" "$(dmsetup table $n)"
check_says "live, not suspended" "targets=2 live$" "$PROBE" info $n

check_equal "the same instance after reloads and renames" "$instance" "$("$PROBE" instance $n)"

# --- in use, deferred removal
exec 7</dev/mapper/$n
check_says "in use" "EBUSY.*$n is in use" "$PROBE" remove $n
check "deferred" "$PROBE" defer $n
check_says "is scheduled" " deferred$" "$PROBE" info $n
check "cancel" "$PROBE" cancel $n
check_says "is no longer scheduled" " live$" "$PROBE" info $n
(sleep 0.5; exec 7<&-) 7<&7 &
exec 7<&-
check "removed when the holder goes" "$PROBE" remove $n
wait
check "create again" "$PROBE" create $n CV-TEST-1 "0 2048 linear $dev 0"
case $instance in
*@*) check "another instance" test "$instance" != "$("$PROBE" instance $n)" ;;
*) skip "another instance" "this kernel doesn't number its disks" ;;
esac
exec 7</dev/mapper/$n
check "deferred again" "$PROBE" defer $n
exec 7<&-
check_says "gone with its user" "ENODEV" "$PROBE" info $n

# --- nodes
check "a stale link gives way" bash -c "ln -sfn ../$(basename "$loop") /dev/mapper/$n &&
	'$PROBE' create $n CV-TEST-1 '0 2048 linear $dev2 0'"
check_equal "and leads to the mapping" "$(dmsetup info -c --noheadings -o major,minor $n)" \
	"$(number /dev/mapper/$n)"
rm -f /dev/mapper/$n
mknod /dev/mapper/$n b 7 0
check "a stale node is repaired by resume" "$PROBE" resume $n
check_equal "and leads to the mapping, too" "$(dmsetup info -c --noheadings -o major,minor $n)" \
	"$(number /dev/mapper/$n)"
check "remove" "$PROBE" remove $n
check_equal "no node" no "$([ -e /dev/mapper/$n ] || [ -L /dev/mapper/$n ] && echo yes || echo no)"
echo data >/dev/mapper/$n
check_says "a file in the way" "EEXIST.*no device" "$PROBE" create $n CV-TEST-1 "0 2048 linear $dev2 0"
check_equal "is not touched" data "$(cat /dev/mapper/$n)"
check_says "and the mapping is gone" ENODEV "$PROBE" info $n
rm -f /dev/mapper/$n
check "remove of what dmsetup made" bash -c "dmsetup create $n --table '0 8 error' && '$PROBE' remove $n"

# --- mounted and stacked: no waiting
check "create for a file system" "$PROBE" create $n CV-FS "0 32768 linear $dev2 0"
if mke2fs -qF /dev/mapper/$n >/dev/null 2>&1 && mkdir "$SCRATCH/mnt" &&
	mount /dev/mapper/$n "$SCRATCH/mnt"; then
	check_says "mounted" "EBUSY.*mounted on $SCRATCH/mnt" "$PROBE" remove $n
	umount "$SCRATCH/mnt"
else
	skip "mounted" "no mke2fs, or it can't be mounted"
fi
check "stack one upon it" "$PROBE" create $m CV-UP "0 8 linear $(number /dev/mapper/$n) 0"
check_says "stacked upon" "EBUSY.*dm-[0-9]* stands on it" "$PROBE" remove $n
check "remove the upper one" "$PROBE" remove $m
check "remove the lower one" "$PROBE" remove $n

# --- crypt, hex keys
for options in "" " 1 allow_discards" " 2 same_cpu_crypt submit_from_crypt_cpus" \
	" 3 allow_discards no_read_workqueue no_write_workqueue" " 1 sector_size:4096" \
	" 2 iv_large_sectors sector_size:4096"; do
	check "crypt$options" "$PROBE" create $n CRYPT-TEST "0 2048 crypt aes-xts-plain64 $key 16 $dev 8$options"
	check_equal "crypt$options: our table" "0 2048 crypt aes-xts-plain64 $key 16 $dev 8$options" \
		"$("$PROBE" table $n)"
	# dmsetup prints what the kernel prints: its own order
	check_equal "crypt$options: dmsetup's table" \
		"$(tr ' ' '\n' <<<"0 2048 crypt aes-xts-plain64 $key 16 $dev 8$options" | sort)" \
		"$(dmsetup table --showkeys $n | tr ' ' '\n' | sort)"
	check "crypt$options: remove" "$PROBE" remove $n
done
if "$PROBE" supports | grep -q high_priority; then
	check "high_priority" "$PROBE" create $n C "0 8 crypt aes-xts-plain64 $key 0 $dev 0 1 high_priority"
	"$PROBE" remove $n
else
	check_says "high_priority on an old target" "EOPNOTSUPP.*high_priority needs version 1.26.0" \
		"$PROBE" create $n C "0 8 crypt aes-xts-plain64 $key 0 $dev 0 1 high_priority"
fi
check_says "a cipher that isn't there" "E(HOSTDOWN|INVAL)" \
	"$PROBE" create $n C "0 8 crypt nonesuch-xts-plain64 $key 0 $dev 0"
check_says "a key of the wrong size" "EINVAL" "$PROBE" create $n C "0 8 crypt aes-xts-plain64 ${key:2} 0 $dev 0"
check_says "a key that nobody has" "ENOKEY.*no key \"logon:nobody:has-it\"" \
	"$PROBE" create $n C "0 8 crypt aes-xts-plain64 :64:logon:nobody:has-it 0 $dev 0"
check_equal "nothing of those" "" "$("$PROBE" list | grep "^cvdm$$")"
check "read-only" "$PROBE" -r create $n C "0 8 crypt aes-xts-plain64 $big 0 $dev 0"
check_says "is read-only" " readonly" "$PROBE" info $n
check_equal "its device, too" 1 "$(blockdev --getro /dev/mapper/$n)"
check "remove it" "$PROBE" remove $n

# --- integrity: 4 bytes of crc32c for each sector of 512, kept by the kernel beside the data
if modprobe -q dm-integrity 2>/dev/null || dmsetup targets | grep -q "^integrity "; then
	text="integrity $dev2 0 4 D 4 internal_hash:crc32c block_size:512 interleave_sectors:32768 buffer_sectors:128"
	dd if=/dev/zero of="$loop2" bs=4k count=16 conv=fsync status=none # no superblock: the target makes one
	check "integrity: create" "$PROBE" create $n CV-TEST-I "0 1 $text"
	sectors=$(dmsetup status $n | cut -d' ' -f5) # provided_data_sectors
	check "integrity: it provides less than the device has" test "$sectors" -gt 16384 -a "$sectors" -lt 32768
	check "integrity: reload to its whole size" "$PROBE" reload $n "0 $sectors $text"
	check_equal "integrity: size" "$sectors" "$(blockdev --getsz /dev/mapper/$n)"
	# dmsetup prints what the kernel prints: with the values that it chose, in its own order
	check_equal "integrity: head" "0 $sectors integrity $dev2 0 4 D" "$(dmsetup table $n | cut -d' ' -f1-7)"
	for word in internal_hash:crc32c interleave_sectors:32768 buffer_sectors:128; do
		check_says "integrity: the kernel has $word" " $word( |$)" dmsetup table $n
	done
	printed=$(dmsetup table $n)
	check "integrity: remove what will be made again" "$PROBE" remove $n
	check "integrity: create it from what the kernel printed" "$PROBE" create $n CV-TEST-I "$printed"
	check_equal "integrity: the same device" "$printed" "$(dmsetup table $n)"
	# The options, keys maybe among them, are not read back: such a table can't be written again by mistake.
	check_says "integrity: a table read back is no table" "EINVAL.*integrity target" "$PROBE" table $n
	check "integrity: write" dd if=/dev/urandom of=/dev/mapper/$n bs=4k count=4 oflag=direct status=none
	check "integrity: read" dd if=/dev/mapper/$n of=/dev/null bs=4k count=4 iflag=direct status=none
	check "integrity: remove" "$PROBE" remove $n
	# Every sector of the first MiB behind superblock and bitmap, but one byte in each, is as it was.
	for ((i = 64; i < 2048; i += 4)); do
		printf x | dd of="$loop2" bs=1 seek=$((i * 512 + 100)) conv=notrunc status=none
	done
	check "integrity: create it again" "$PROBE" create $n CV-TEST-I "0 $sectors $text"
	check_status "integrity: what was changed below isn't read" 1 \
		dd if=/dev/mapper/$n of=/dev/null bs=4k count=4 iflag=direct status=none
	check "integrity: remove again" "$PROBE" remove $n
	check_says "integrity: a mode that isn't there" EINVAL "$PROBE" create $n CV-TEST-I "0 1 ${text/ D / X }"
	check_says "integrity: parameters that the kernel refuses" "E(INVAL|NOENT)" \
		"$PROBE" create $n CV-TEST-I "0 1 ${text/crc32c/nonesuch}"
else
	skip "integrity" "this kernel has no dm-integrity"
fi

# --- many targets: the kernel's answer outgrows the first buffer
for ((i = 0; i < 700; i++)); do echo "$((i * 8)) 8 linear $dev $((i * 8))"; done >"$SCRATCH/table"
check "700 targets" dmsetup create $n "$SCRATCH/table"
check_equal "all of them are read" "$(cat "$SCRATCH/table")" "$("$PROBE" table $n)"
check "remove" "$PROBE" remove $n

# --- the control node
mv /dev/mapper/control "$SCRATCH/control" 2>/dev/null || rm -f /dev/mapper/control
check "a missing control node is made" "$PROBE" list
check_equal "with the right number" "$(sed -n 's/^ *\([0-9]*\) device-mapper$/10:\1/p' /proc/misc)" \
	"$(number /dev/mapper/control)"
rm -f /dev/mapper/control && mknod /dev/mapper/control c 10 250
check "a stale control node is replaced" "$PROBE" list
check_says "no permission" "EACCES.*CAP_SYS_ADMIN" \
	setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$PROBE" list

nothing_left_behind "at the end" "^loop device over $SCRATCH"
