#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the QEMU guest (see qemu.sh): what another kernel could make different. Its crypt target is
# 1.28 (high_priority), it has two processors, and its AES comes from the processor.
. "$(dirname "$0")/../lab/lib.sh"

need_root
need cryptsetup dmsetup losetup

# digest DEVICE: of its plaintext, past the page cache
digest() {
	blockdev --flushbufs "$1" && sha256sum <"$1" | cut -d' ' -f1
}

# both_ways NAME FORMAT-OPTIONS...: each formats, the other finds the same plaintext
both_ways() {
	local name=$1 one two loop sum
	shift
	for one in "$CRYPTVOL" "$CRYPTSETUP"; do
		two=$CRYPTSETUP
		[ "$one" = "$CRYPTVOL" ] || two=$CRYPTVOL
		loop=$(make_loop 24M)
		check "$name: $(basename "$one") formats" \
			pass secret "$one" -q luksFormat --type luks2 "$@" "$loop" -d - &&
			check "$name: $(basename "$one") opens" pass secret "$one" open "$loop" first -d - ||
			continue
		dd if=/dev/urandom of=/dev/mapper/first bs=1M count=4 conv=fsync status=none
		sum=$(digest /dev/mapper/first)
		check "$name: $(basename "$two") reports status" "$two" status first
		check "$name: $(basename "$two") closes" "$two" close first
		check "$name: $(basename "$two") opens" pass secret "$two" open "$loop" second -d - || continue
		check_equal "$name: the same plaintext" "$sum" "$(digest /dev/mapper/second)"
		check "$name: $(basename "$one") closes" "$one" close second
		losetup -d "$loop"
	done
}

both_ways "aes-xts, sectors of 512" "${FAST_KDF[@]}" --sector-size 512
both_ways "aes-xts-256, sectors of 4096" "${FAST_KDF[@]}" --key-size 256 --sector-size 4096
both_ways "argon2id" --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 8192 --pbkdf-parallel 2
both_ways "aes-cbc-essiv" "${FAST_KDF[@]}" --cipher aes-cbc-essiv:sha256 --key-size 256

loop=$(make_loop 24M)
pass secret "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" "$loop" -d -
check_status "a wrong passphrase" 2 pass wrong "$CRYPTVOL" open "$loop" flags -d -
check "open with every flag for speed" pass secret "$CRYPTVOL" open "$loop" flags -d - \
	--allow-discards --perf-same_cpu_crypt --perf-submit_from_crypt_cpus \
	--perf-no_read_workqueue --perf-no_write_workqueue
check_says "the kernel has them all" \
	'allow_discards same_cpu_crypt submit_from_crypt_cpus no_read_workqueue no_write_workqueue' \
	dmsetup table flags
check "shrink" pass secret "$CRYPTVOL" resize flags --size 4096 -d -
check_equal "it is smaller" 2097152 "$(blockdev --getsize64 /dev/mapper/flags)"
check "grow again" pass secret "$CRYPTVOL" resize flags -d -
check_equal "it is as large as it can be" $((8 << 20)) "$(blockdev --getsize64 /dev/mapper/flags)"
check "close" "$CRYPTVOL" close flags
losetup -d "$loop"

# The rooms that speak to the kernel, against this one: targets, keyrings, locks between processors.
for part in dm_verbs dm_keyring kept_keys; do
	"$ROOT/tests/loopdev/$part.sh"
	check_equal "$part ends in order" 0 $?
done

check "the demonstration" "$ROOT/tests/demo/demo.sh"
nothing_left_behind "at the end"
