#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The CLI loads libcrypto for algorithms beyond the usual ones only, works without it otherwise, and says what it lacks.

. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup strace
ldd "$CRYPTVOL" | grep -q libcrypto && skip_all "this build is linked against libcrypto"
cd "$SCRATCH" || exit 1
mkdir broken && : >broken/libcrypto.so.3 # the loader finds it first, and can't use it
printf secret >pw

without() {
	LD_LIBRARY_PATH=$SCRATCH/broken "$@"
}

# loads COMMAND...: does it open libcrypto?
loads() {
	strace -f -o log -e trace=openat "$@" >/dev/null 2>&1
	grep -c 'libcrypto\.so.* = [0-9]' log
}

image() {
	rm -f "$1" && truncate -s 20M "$1"
}

image usual
check "format with the defaults but a cheap KDF, without it" without "$CRYPTVOL" luksFormat -q "${FAST_KDF[@]}" usual pw
check "argon2id without it" without "$CRYPTVOL" luksAddKey -q "${FAST_ARGON2[@]}" -d pw usual pw
check "dump without it" without "$CRYPTVOL" luksDump usual
check "cryptsetup opens that" cryptsetup open --test-passphrase -d pw usual
check_equal "isLuks doesn't load it" 0 "$(loads "$CRYPTVOL" isLuks usual)"
check_equal "luksDump doesn't load it" 0 "$(loads "$CRYPTVOL" luksDump usual)"
if grep -qw aes /proc/cpuinfo; then
	check "unlock without it" without "$CRYPTVOL" open --test-passphrase -d pw usual
	check_equal "unlock doesn't load it" 0 "$(loads "$CRYPTVOL" open --test-passphrase -d pw usual)"
else
	skip "unlock without it" "this processor has no AES instructions"
fi

for hash in sha3-256 ripemd160 blake2b-512; do
	image rare
	check_status "$hash without it" 1 without "$CRYPTVOL" luksFormat -q --hash "$hash" "${FAST_KDF[@]}" rare pw
	check_equal "$hash without it: the sentence" 1 "$(grep -c "\"$hash\" needs OpenSSL's libcrypto.so.3" "$SCRATCH/output")"
	check_equal "$hash without it: nothing written" 0 "$(stat -c %b rare)"
	check "$hash with it" "$CRYPTVOL" luksFormat -q --hash "$hash" "${FAST_KDF[@]}" rare pw
	check "$hash: cryptsetup opens it" cryptsetup open --test-passphrase -d pw rare
	check_status "$hash: not opened without it" 1 without "$CRYPTVOL" open --test-passphrase -d pw rare
	check "$hash: opened with it" "$CRYPTVOL" open --test-passphrase -d pw rare
done

image cbc
check "AES-CBC keyslot" "$CRYPTVOL" luksFormat -q "${FAST_KDF[@]}" --keyslot-cipher aes-cbc-essiv:sha256 --keyslot-key-size 256 cbc pw
check "cryptsetup opens it" cryptsetup open --test-passphrase -d pw cbc
if /usr/bin/python3 -c 'import socket
socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).bind(("skcipher", "essiv(cbc(aes),sha256)"))' 2>/dev/null; then
	check "AES-CBC without it, by the kernel" without "$CRYPTVOL" open --test-passphrase -d pw cbc
else
	check_status "AES-CBC without it" 1 without "$CRYPTVOL" open --test-passphrase -d pw cbc
	check_equal "the sentence" 1 "$(grep -c "needs OpenSSL's libcrypto.so.3" "$SCRATCH/output")"
fi
