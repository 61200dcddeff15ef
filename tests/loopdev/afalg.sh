#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sector ciphers against dm-crypt's own bytes, where the kernel has AF_ALG for those that libcrypto lacks.
. "$(dirname "$0")/../lab/lib.sh"
need_root
for module in af_alg algif_skcipher xts cbc adiantum serpent_generic twofish_generic camellia_generic essiv; do
	modprobe "$module" 2>/dev/null
done
"$BUILD/unit/test_crypto_cipher" >"$SCRATCH/results"
while IFS= read -r line; do
	case $line in
	"ok "*) ok "${line#ok }" ;;
	"SKIP "*) skip "${line#SKIP }" "this kernel lacks it" ;;
	"FAIL "*) fail "${line#FAIL }" ;;
	esac
done <"$SCRATCH/results"
