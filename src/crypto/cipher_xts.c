// SPDX-License-Identifier: Apache-2.0
// XTS (IEEE 1619) over libcrypto's single blocks, for the ciphers and key sizes that it has no XTS
// of: Camellia, and AES with two keys of 192 bits. Whole blocks only, as sectors are.
#include "internal.h"

#include <openssl/evp.h>

#define BLOCK_BYTES 16
#define CHUNK_BYTES 512

/* The tweak times x in GF(2^128), in a time that doesn't depend on it. */
static void double_tweak(unsigned char t[BLOCK_BYTES])
{
	unsigned int carry = 0;

	for (unsigned int i = 0; i < BLOCK_BYTES; i++) {
		unsigned int byte = t[i];

		t[i] = (unsigned char)(byte << 1 | carry);
		carry = byte >> 7;
	}
	t[0] ^= (unsigned char)(0x87 & -carry);
}

static void add_bytes(unsigned char *to, const unsigned char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] ^= from[i];
}

bool crypto_xts_unit(struct evp_cipher_ctx_st *data, struct evp_cipher_ctx_st *tweak,
		     const unsigned char *iv, unsigned char *buf, size_t len)
{
	unsigned char t[BLOCK_BYTES], tweaks[CHUNK_BYTES];
	int n = 0;
	bool ok;

	ok = EVP_CipherUpdate(tweak, t, &n, iv, BLOCK_BYTES) == 1 && n == BLOCK_BYTES;
	for (size_t at = 0, chunk; ok && at < len; at += chunk) {
		chunk = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
		for (size_t i = 0; i < chunk; i += BLOCK_BYTES) {
			memcpy(tweaks + i, t, BLOCK_BYTES);
			double_tweak(t);
		}
		add_bytes(buf + at, tweaks, chunk);
		ok = EVP_CipherUpdate(data, buf + at, &n, buf + at, (int)chunk) == 1 &&
		     (size_t)n == chunk;
		add_bytes(buf + at, tweaks, chunk);
	}
	explicit_bzero(t, sizeof(t));
	explicit_bzero(tweaks, sizeof(tweaks));
	return ok;
}
